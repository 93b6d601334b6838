"""Where a model came from, in figures: its kind, size, work and the digest of its weights."""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING, Any

from ashore.types.manifest import SourceRecord
from ashore.types.source import ModelSource

if TYPE_CHECKING:
    import torch

    from ashore.sources.flat import FlatModel


def describe_source(source: ModelSource, model: FlatModel) -> SourceRecord:
    """``model`` is the source's, ready to run on its example."""
    import torch

    parameters = sum(parameter.numel() for parameter in model.parameters())
    kind = "module" if isinstance(source.model, torch.nn.Module) else "exported-program"
    return SourceRecord(kind, parameters, _weights_sha256(model), _count_macs(model))


def _weights_sha256(model: torch.nn.Module) -> str | None:
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        try:
            digest.update(name.encode() + _content(value))
        except (TypeError, RuntimeError, NotImplementedError):  # a tensor class that shows nobody its numbers
            return None
    return digest.hexdigest()


def _content(value: Any) -> bytes:
    """Of a tensor, or of what packed layers of torch.ao keep in its place: tuples of tensors, and plain values."""
    import torch

    if isinstance(value, tuple):
        return b"".join(_content(each) for each in value)
    if not isinstance(value, torch.Tensor):
        return repr(value).encode()
    plain = value.detach().dequantize() if value.is_quantized else value.detach()
    data: bytes = plain.contiguous().view(-1).view(torch.uint8).numpy().tobytes()  # numpy has no bfloat16
    return data


def _count_macs(model: FlatModel) -> int | None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), warnings.catch_warnings(), counter:
            warnings.simplefilter("ignore")
            model(*model.example)
    except (RuntimeError, NotImplementedError, TypeError):  # the counter knows not every tensor subclass
        return None
    return int(counter.get_total_flops()) // 2
