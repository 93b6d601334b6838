"""Round a weight to 4 bits so that the layer's outputs change least, not the weight itself.

GPTQ: Frantar, Ashkboos, Hoefler and Alistarh 2022, "GPTQ: Accurate Post-Training Quantization for Generative
Pre-trained Transformers", arXiv:2210.17323. Column after column is rounded, and the columns that are still to come make
up for the error as well as they can on the inputs that were seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST = 7
"""Of the integers' magnitudes. Four bits also hold -8, but with it MiniLM comes out worse."""

_DAMPING = 0.01
"""Share of the mean moment that is added to every moment, as in the paper."""

_RANGES = (1.0, 0.95, 0.9, 0.85, 0.8)
"""What a grid may cover of its weights: cutting the largest makes the steps finer for all others."""


@dataclass(frozen=True)
class Rounded:
    """``integers`` int8 [out, in], at most ``LARGEST``; ``scales`` float32 [out, groups].

    Every group holds an integer of ``LARGEST`` magnitude, so that whoever quantizes ``values`` to the nearest on a
    grid of maximum over ``LARGEST`` finds the same integers and scales again.
    """

    integers: Tensor
    scales: Tensor

    @property
    def values(self) -> Tensor:
        group_size = self.integers.shape[1] // self.scales.shape[1]
        return self.integers * self.scales.repeat_interleave(group_size, dim=1)


def round_weight(weight: Tensor, moments: Tensor, group_size: int) -> Rounded:
    """By GPTQ.

    Args:
        weight: [out, in], of a linear layer.
        moments: [in, in], the sum of x times x transposed over the layer's inputs x.
        group_size: weights of a row that share a scale; divides a row.

    Raises:
        torch.linalg.LinAlgError: the moments of these inputs cannot be inverted.
    """
    factor = _inverse_factor(moments)
    columns = weight.detach().to(torch.float32).T.clone(memory_format=torch.contiguous_format)
    integers, scales = torch.empty_like(columns, dtype=torch.int8), []
    for start in range(0, len(columns), group_size):
        inside = slice(start, start + group_size)
        scale = _scale(columns[inside], moments.diagonal()[inside, None])
        errors = _round_group(columns[inside], scale, factor[inside, inside], integers[inside])
        columns[inside.stop :] -= factor[inside.stop :, inside] @ errors
        scales.append(scale)
    return Rounded(integers.T.contiguous(), torch.stack(scales, dim=1))


def _inverse_factor(moments: Tensor) -> Tensor:
    """The Cholesky factor, lower triangular, of the inverse of the damped moments.

    An input that is always zero gets a moment of its own: its weights are then rounded to the nearest.
    """
    damped = moments.to(torch.float64, copy=True)
    diagonal = damped.diagonal()
    diagonal[diagonal == 0] = diagonal.mean()
    diagonal += _DAMPING * diagonal.mean()
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    factor: Tensor = torch.linalg.cholesky(inverse)
    return factor.to(torch.float32)


def _scale(group: Tensor, importance: Tensor) -> Tensor:
    """For each output, the scale [out] that rounds ``group`` [in group, out] best, columns weighted by their moment.

    Of numbers with the eight binary digits that XNNPACK keeps of a group's scale.
    """
    largest = group.abs().amax(dim=0)
    candidates = [_kept_digits(share * largest / LARGEST) for share in _RANGES]
    errors = torch.stack([_error(group, scale, importance) for scale in candidates])
    return torch.stack(candidates).gather(0, errors.argmin(dim=0, keepdim=True))[0]


def _kept_digits(scale: Tensor) -> Tensor:
    kept = scale.to(torch.bfloat16).to(torch.float32)
    return torch.where(kept > 0, kept, 1.0)


def _error(group: Tensor, scale: Tensor, importance: Tensor) -> Tensor:
    return ((group - _nearest(group, scale) * scale).square() * importance).sum(dim=0)


def _nearest(values: Tensor, scale: Tensor) -> Tensor:
    return (values / scale).round().clamp(-LARGEST, LARGEST)


def _round_group(group: Tensor, scale: Tensor, factor: Tensor, integers: Tensor) -> Tensor:
    """Fill ``integers`` [in group, out]; returns the errors that later groups are to make up for.

    ``group`` is used up. The weight of each output that was largest keeps the largest integer: see ``Rounded``.
    """
    largest = group.abs().argmax(dim=0)
    ends = LARGEST * group.gather(0, largest[None])[0].sign()
    errors = torch.empty_like(group)
    for column, values in enumerate(group):
        integers[column] = torch.where(largest == column, ends, _nearest(values, scale))
        errors[column] = (values - integers[column] * scale) / factor[column, column]
        group[column + 1 :] -= factor[column + 1 :, column, None] * errors[column]
    return errors
