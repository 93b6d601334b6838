"""Adapters of PEFT, such as LoRA, added into the weights they adapt, and the sum proven to answer as they did."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ashore.errors import AshoreError, UnsupportedModel
from ashore.sources.example import Call, example_call
from ashore.types.parity import SQNR_LIMIT_DB, Floats, sqnr_db
from ashore.types.source import ModelSource

if TYPE_CHECKING:
    import torch

_SAME_DB = 30.0
"""Halves lose less than this when adapters are added to them."""


def merge_adapters(module: torch.nn.Module, source: ModelSource) -> torch.nn.Module:
    """``module`` with its adapters merged; changes it in place. A module without any is returned as it is.

    Raises:
        UnsupportedModel: PEFT cannot merge them, or the merged model answers otherwise on the example.
        UsageError: the example inputs do not fit the model.
    """
    if not any(callable(getattr(layer, "merge_and_unload", None)) for layer in module.modules()):
        return module
    call = example_call(source, module)
    before = _answer(module, call)
    _untie(module)
    try:
        merged = _merged(module).eval()
    except Exception as error:
        raise UnsupportedModel(
            f"the adapters could not be merged: {type(error).__name__}: {error}",
            "call merge_and_unload() by itself to see where; adapt and merge the float model before it is quantized",
        ) from error
    _check_same(before, _answer(merged, call))
    return merged


def _merged(module: torch.nn.Module) -> torch.nn.Module:
    merge = getattr(module, "merge_and_unload", None)  # PEFT's own door, asked for without importing PEFT
    if callable(merge):
        merged: Any = merge()
        return _merged(merged)
    for name, child in list(module.named_children()):
        ready = _merged(child)
        if ready is not child:
            setattr(module, name, ready)
    return module


def _untie(module: torch.nn.Module) -> None:
    """Merging writes into a layer's weight, which another layer may read, such as an embedding tied to the last one."""
    import torch

    layers = list(module.modules())
    readers = Counter(id(weight) for layer in layers for weight in layer._parameters.values())
    for adapted in layers:
        base = getattr(adapted, "base_layer", None) if hasattr(adapted, "adapter_layer_names") else None
        own = base._parameters if isinstance(base, torch.nn.Module) else {}
        for name, weight in own.items():
            if weight is not None and readers[id(weight)] > 1:
                readers[id(weight)] -= 1
                own[name] = torch.nn.Parameter(weight.detach().clone(), requires_grad=weight.requires_grad)


def _answer(module: torch.nn.Module, call: Call) -> tuple[Floats, ...]:
    """Nothing where the model fails, which is told where models are run in earnest."""
    import torch

    from ashore.sources.flat import FlatModel

    try:
        flat = FlatModel(module, *call)
        with torch.no_grad():
            return tuple(tensor.double().numpy() for tensor in flat(*(each.clone() for each in flat.example)))
    except (AshoreError, ArithmeticError, RuntimeError, TypeError, ValueError, LookupError, AttributeError):
        return ()


def _check_same(before: tuple[Floats, ...], after: tuple[Floats, ...]) -> None:
    """NaN and infinity are told of elsewhere."""
    pairs = [(b, a) for b, a in zip(before, after, strict=False) if np.isfinite(b).all() and np.isfinite(a).all()]
    worst_db = min((sqnr_db(*pair) for pair in pairs), default=SQNR_LIMIT_DB)
    if worst_db < _SAME_DB:
        raise UnsupportedModel(
            f"with its adapters merged the model answers otherwise than before: {worst_db:.1f} dB SQNR on the example",
            "unload() adapters that are switched off; take masks of pruning and weight norms off the adapted layers "
            "(prune.remove, remove_weight_norm) before they are adapted; or call merge_and_unload() yourself",
        )
