"""What a file says of its tensors."""

from __future__ import annotations

from typing import TypedDict


class TensorFacts(TypedDict):
    """What a file says of one input or output; crosses to the parent as JSON.

    ``dynamic`` maps an axis to the smallest and the largest size it can take; ``quantization`` is scale and zero point.
    """

    name: str
    shape: list[int]
    dtype: str
    dynamic: dict[str, list[int]]
    quantization: list[float] | None
