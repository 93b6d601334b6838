"""Where a model came from, in figures: its kind, size, work and the digest of its weights."""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING

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
    for name, tensor in sorted(model.state_dict().items()):
        try:
            data = tensor.detach().contiguous().view(-1).numpy().tobytes()
        except (TypeError, RuntimeError, NotImplementedError):  # bfloat16 and quantized tensors have no numpy form
            return None
        digest.update(name.encode() + data)
    return digest.hexdigest()


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
