"""How many of a model's weights are zero, as pruning leaves them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

NOTABLE = 0.1
"""A share of zeros that training by itself does not leave."""


def zero_share(model: torch.nn.Module) -> float:
    """Between 0 and 1, over all matrices and kernels as the layers multiply by them, masks and norms applied."""
    counts = [(weight.numel(), int(weight.count_nonzero())) for weight in _weights(model)]
    total = sum(size for size, _ in counts)
    return 1.0 - sum(nonzero for _, nonzero in counts) / total if total else 0.0


def _weights(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Plain float tensors alone: the classes of compression libraries do not all know how to count."""
    import torch
    from torch.nn.utils import parametrize

    for layer in model.modules():
        if isinstance(layer, parametrize.ParametrizationList):
            continue
        parametrized = getattr(layer, "parametrizations", ()) if parametrize.is_parametrized(layer) else ()
        weights = {**layer._parameters, **{name: getattr(layer, name) for name in parametrized}}
        for name, weight in weights.items():
            if weight is not None and weight.dim() > 1 and type(weight.data) is torch.Tensor:
                mask = layer._buffers.get(f"{name.removesuffix('_orig')}_mask")
                yield weight.detach() if mask is None else weight.detach() * mask
