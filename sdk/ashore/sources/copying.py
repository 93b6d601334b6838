"""Copies of modules as users leave them, with pruning and weight norm still attached."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def copy_module(module: torch.nn.Module) -> torch.nn.Module:
    """Like ``copy.deepcopy``, also where hooks left tensors with a gradient history, which torch refuses to copy."""
    memo = {id(tensor): tensor.detach().clone() for tensor in _computed_tensors(module)}
    return copy.deepcopy(module, memo)


def _computed_tensors(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    import torch

    for layer in module.modules():
        for value in vars(layer).values():
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                yield value
