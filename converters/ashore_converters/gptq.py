"""Round a weight to 4 bits so that the layer's outputs change least, not the weight itself.

GPTQ: Frantar, Ashkboos, Hoefler and Alistarh 2022, "GPTQ: Accurate Post-Training Quantization for Generative
Pre-trained Transformers", arXiv:2210.17323. Column after column is rounded, and the columns that are still to come make
up for the error as well as they can on the inputs that were seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST_OF_4_BITS = 7
"""Of the integers' magnitudes. Four bits also hold -8, but with it MiniLM comes out worse."""

LARGEST_OF_8_BITS = 127

_DAMPING = 0.01
"""Share of the mean moment that is added to every moment, as in the paper."""

_RANGES = (1.0, 0.95, 0.9, 0.85, 0.8)
"""What a grid may cover of its weights: cutting the largest makes the steps finer for all others."""

_BLOCK = 128
"""Columns whose errors are made up for one after the other; further ones wait for the whole block, which is faster."""


@dataclass(frozen=True)
class Grid:
    """Symmetric integers up to ``largest``.

    Attributes:
        group_size: weights of a row that share a scale; divides a row. None for the whole row.
        short_scales: whether scales have but the eight binary digits that XNNPACK keeps of a group's.
    """

    largest: int
    group_size: int | None = None
    short_scales: bool = False


@dataclass(frozen=True)
class Rounded:
    """``integers`` int8 [..., out, in]; ``scales`` float32 [..., out, groups].

    Of what is rounded here, every group holds an integer of the largest magnitude, so that whoever quantizes
    ``values`` to the nearest on a grid of maximum over it finds the same integers and scales again.
    """

    integers: Tensor
    scales: Tensor

    @property
    def values(self) -> Tensor:
        group_size = self.integers.shape[-1] // self.scales.shape[-1]
        return self.integers * self.scales.repeat_interleave(group_size, dim=-1)


def round_to_nearest(weight: Tensor, grid: Grid) -> Rounded:
    """Without a look at any inputs; ``weight`` as in :func:`round_weight`."""
    groups = weight.reshape(*weight.shape[:-1], -1, grid.group_size or weight.shape[-1])
    scales = kept_digits(groups.abs().amax(-1) / grid.largest, grid)
    return Rounded(_nearest(groups, scales[..., None], grid).flatten(-2).to(torch.int8), scales)


def round_weight(weight: Tensor, moments: Tensor, grid: Grid) -> Rounded:
    """By GPTQ.

    Args:
        weight: [..., out, in], of a linear layer, or of many at once.
        moments: [..., in, in], the sum of x times x transposed over the layer's inputs x.
        grid: what it is rounded to.

    Raises:
        torch.linalg.LinAlgError: the moments of these inputs cannot be inverted.
    """
    factor = _inverse_factor(moments)
    columns = weight.detach().to(torch.float32).mT.clone(memory_format=torch.contiguous_format)
    integers, scales = torch.empty_like(columns, dtype=torch.int8), []
    count = columns.shape[-2]
    for start in range(0, count, grid.group_size or count):
        group = slice(start, start + (grid.group_size or count))
        importance = moments.diagonal(dim1=-2, dim2=-1)[..., group, None]
        scales.append(_scale(columns[..., group, :], importance, grid))
        _round_group(columns, group, scales[-1], factor, integers, grid)
    return Rounded(integers.mT.contiguous(), torch.stack(scales, dim=-1))


def _inverse_factor(moments: Tensor) -> Tensor:
    """The Cholesky factor, lower triangular, of the inverse of the damped moments.

    An input that is always zero gets a moment of its own: its weights are then rounded to the nearest.
    """
    damped = moments.to(torch.float64, copy=True)
    diagonal = damped.diagonal(dim1=-2, dim2=-1)
    mean = diagonal.mean(dim=-1, keepdim=True)
    diagonal.copy_(torch.where(diagonal == 0, torch.where(mean == 0, 1.0, mean), diagonal))
    diagonal += _DAMPING * diagonal.mean(dim=-1, keepdim=True)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    factor: Tensor = torch.linalg.cholesky(inverse)
    return factor.to(torch.float32)


def _scale(group: Tensor, importance: Tensor, grid: Grid) -> Tensor:
    """For each output, the scale [..., out] that rounds ``group`` [..., in group, out] best, columns weighted by
    their moment."""
    largest = group.abs().amax(dim=-2)
    candidates = [kept_digits(share * largest / grid.largest, grid) for share in _RANGES]
    errors = torch.stack([_error(group, scale, importance, grid) for scale in candidates])
    return torch.stack(candidates).gather(0, errors.argmin(dim=0, keepdim=True))[0]


def kept_digits(scale: Tensor, grid: Grid) -> Tensor:
    """As the file keeps them; 1 in the place of 0."""
    kept = scale.to(torch.bfloat16).to(torch.float32) if grid.short_scales else scale
    return torch.where(kept > 0, kept, 1.0)


def _error(group: Tensor, scale: Tensor, importance: Tensor, grid: Grid) -> Tensor:
    steps = scale[..., None, :]
    return ((group - _nearest(group, steps, grid) * steps).square() * importance).sum(dim=-2)


def _nearest(values: Tensor, scale: Tensor, grid: Grid) -> Tensor:
    return (values / scale).round().clamp(-grid.largest, grid.largest)


def _round_group(columns: Tensor, group: slice, scale: Tensor, factor: Tensor, integers: Tensor, grid: Grid) -> None:
    """Fill ``integers`` [..., in, out] where ``group`` is, and have the ``columns`` after it make up for the errors.

    The weight of each output that was largest keeps the largest integer: see ``Rounded``.
    """
    largest = columns[..., group, :].abs().argmax(dim=-2, keepdim=True)
    ends = grid.largest * columns[..., group, :].gather(-2, largest)[..., 0, :].sign()
    for start in range(group.start, group.stop, _BLOCK):
        block = slice(start, min(start + _BLOCK, group.stop))
        errors = torch.empty_like(columns[..., block, :])
        for column in range(block.start, block.stop):
            values, rest = columns[..., column, :], slice(column + 1, block.stop)
            nearest = _nearest(values, scale, grid)
            rounded = torch.where(largest[..., 0, :] == column - group.start, ends, nearest)
            error = (values - rounded * scale) / factor[..., column, column, None]
            columns[..., rest, :] -= factor[..., rest, column, None] * error[..., None, :]
            integers[..., column, :], errors[..., column - start, :] = rounded, error
        columns[..., block.stop :, :] -= factor[..., block.stop :, block] @ errors
