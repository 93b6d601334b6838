"""Sizes that an ONNX file may claim, and no machine has the memory for: a file of a kilobyte can ask for terabytes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ashore.errors import UsageError
from ashore.limits import memory_limit_bytes

_REFUSALS = ("can't allocate memory", "Storage size calculation overflowed")
"""What torch says, in a RuntimeError."""
_LARGEST_BYTES = 1 << 31
"""Where a .tflite file ends, whose offsets have 31 bits; and no phone has more for one tensor."""
_HINT = "a tensor's size is wrong in the file or in the example inputs; or convert it on a machine with more memory"


def check_size(name: str, shape: list[int], item_bytes: int) -> None:
    """Raises UsageError where an example of input ``name`` cannot be, or would take more memory than is free."""
    limit, needed = memory_limit_bytes(), math.prod(shape) * item_bytes
    text = "x".join(map(str, shape))
    if min(shape, default=1) < 0:
        raise UsageError(f"input {name!r} has shape {text} in the file", "a size is 1 or more: export the model again")
    if limit is not None and needed > limit:
        raise UsageError(f"input {name!r} of shape {text} takes {needed / 2**30:.0f} GiB, more than is free", _HINT)


def check_value(name: str, shape: Sequence[int], item_bytes: int) -> None:
    """Raises UsageError for a tensor inside of the graph that is too large for any file, before it is computed."""
    needed = math.prod(shape) * item_bytes
    if needed > _LARGEST_BYTES:
        raise UsageError(
            f"tensor {name!r} of the ONNX model has the shape {'x'.join(map(str, shape))}: {needed / 2**30:.0f} GiB, "
            f"and a file has room for {_LARGEST_BYTES / 2**30:.0f}",
            _HINT,
        )


@contextmanager
def memory_refusals_told() -> Iterator[None]:
    """Inside, an allocation that is refused ends as a UsageError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in _REFUSALS):
            raise
        raise UsageError(f"the ONNX model asks for more memory than there is: {_asked(str(error))}", _HINT) from error


def _asked(said: str) -> str:
    """The figure in torch's words, without the place in its source."""
    start = max(said.find("you tried"), said.find("Storage size"))
    return said[max(0, start) :].partition(". Error code")[0].strip()
