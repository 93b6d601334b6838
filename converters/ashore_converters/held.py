"""Weights that come in four bits already, as floats: their integers are found again, and none is rounded anew."""

from __future__ import annotations

import torch
from torch import Tensor

from ashore_converters.gptq import Grid, Rounded, kept_digits

_SMALLEST, _LARGEST = -8, 7
_TOLERANCE = 0.05
"""Of a step: what bfloat16 leaves of eight steps is within it, and of any other weights about one in ten by chance."""


def held_integers(weight: Tensor, grid: Grid) -> Rounded | None:
    """Integers and scales whose product ``weight`` is, as near as a file's scales allow; None where it is no such
    product.

    Args:
        weight: float [..., out, in].
        grid: of the file. Its groups may divide those that the weight was quantized in; -8 may occur.
    """
    groups = weight.detach().to(torch.float32).reshape(*weight.shape[:-1], -1, grid.group_size or weight.shape[-1])
    _, held = _integers(groups[..., :1, :, :])  # of most weights the first row tells
    if not held:
        return None
    integers, held = _integers(groups)
    if not held:
        return None
    return Rounded(integers.flatten(-2).to(torch.int8), kept_digits(_scales(groups, integers), grid))


def _integers(groups: Tensor) -> tuple[Tensor, bool]:
    """Of every group [..., n], and whether they are all within four bits; the largest steps that explain it."""
    largest = groups.abs().amax(-1, keepdim=True)
    unit = torch.where(largest > 0, groups / largest, 0.0)
    found, missing = torch.zeros_like(groups), torch.ones_like(largest, dtype=torch.bool)
    for steps in range(1, -_SMALLEST + 1):
        nearest = (unit * steps).round()
        close = (unit * steps - nearest).abs().amax(-1, keepdim=True) < _TOLERANCE
        fits = missing & close & (nearest.amax(-1, keepdim=True) <= _LARGEST)
        found = torch.where(fits, nearest, found)
        missing = missing & ~fits
    return found, not bool(missing.any())


def _scales(groups: Tensor, integers: Tensor) -> Tensor:
    """Of least squares; 0 for a group of zeros."""
    return (groups * integers).sum(-1) / integers.square().sum(-1).clamp(min=1.0)
