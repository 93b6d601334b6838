"""Which matrices' 4-bit weights are rounded by GPTQ, and to what: decided by measurement, alike for every backend."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ashore.interfaces import Progress
from ashore.sources.threads import fastest_threads
from ashore.types.conversion import ConversionRequest
from ashore.types.recipe import Recipe, Rounding
from ashore.types.tensor import Sample
from ashore_converters.gptq import Rounded, round_weight

Key = int
"""A matrix, as the backend numbers them."""

See = Callable[[Key, Tensor], None]
"""Takes the inputs [..., in] of a layer."""

_LEAST_SAMPLES = 2
_HELD_BACK = 4
"""One of so many samples is not learned from, but judges."""

_MOMENT_BYTES = 2**30
"""What the moments of matrices that are observed in one pass over the samples may take."""

_SMALLEST = 1e-30
"""In the place of an error of zero, of which there is no logarithm."""


@dataclass(frozen=True)
class Matrices:
    """What a backend is to round.

    Attributes:
        weights: float32 [out, in], each with one scale for a whole row where the groups do not divide it.
        run: runs the model on a sample, and shows the inputs of these weights' layers.
        nearest: a weight and the size of its groups -> the floats that the backend's own rounding leaves of it.
    """

    weights: Mapping[Key, Tensor]
    run: Callable[[Sample, See], None]
    nearest: Callable[[Tensor, int], Tensor]


@dataclass(frozen=True)
class FourBits:
    """The recipe that is carried out, what the user should know of it, and the matrices not left to the backend."""

    recipe: Recipe
    told: tuple[str, ...] = ()
    rounded: Mapping[Key, Rounded] = field(default_factory=dict)


def choose_rounding(request: ConversionRequest, matrices: Matrices, progress: Progress) -> FourBits:
    """GPTQ's integers for all matrices whose layers then come closer to PyTorch than with the nearest integers."""
    recipe, samples = request.recipe, request.calibration
    if not matrices.weights or not recipe.gains_by_calibration:
        return FourBits(recipe)
    if len(samples) < _LEAST_SAMPLES:
        return _to_the_nearest(recipe, _too_few(len(samples)))
    progress("rounding to 4 bits by GPTQ")
    trial = _Moments(next(_batches(matrices.weights)))
    with torch.no_grad(), fastest_threads(lambda: matrices.run(samples[0], trial.add)):
        found = _found(matrices, samples, recipe.group_size)
    if not found:
        return _to_the_nearest(recipe, "GPTQ brings no layer closer to PyTorch")
    told = _gains([one.gain_db for one in found.values()], len(matrices.weights))
    return FourBits(recipe, (told,), {key: one.rounded for key, one in found.items()})


def _to_the_nearest(recipe: Recipe, reason: str) -> FourBits:
    told = f"4-bit weights are rounded to the nearest: {reason}"
    return FourBits(replace(recipe, rounding=Rounding.NEAREST), (told,))


@dataclass(frozen=True)
class _Found:
    """``gain_db``: how much smaller the error of the layer's outputs is than with the nearest integers."""

    rounded: Rounded
    gain_db: float


def _found(matrices: Matrices, samples: Sequence[Sample], group_size: int) -> dict[Key, _Found]:
    found = {}
    for weights in _batches(matrices.weights):
        learned, judged = _Moments(weights), _Moments(weights)
        for index, sample in enumerate(samples):
            matrices.run(sample, (judged if _judges(index, len(samples)) else learned).add)
        for key, weight in weights.items():
            groups = group_size if weight.shape[1] % group_size == 0 else weight.shape[1]
            nearest = matrices.nearest(weight, groups)
            if (better := _better(weight, nearest, learned.sums[key], judged.sums[key], groups)) is not None:
                found[key] = better
    return found


def _judges(index: int, count: int) -> bool:
    return index % _HELD_BACK == _HELD_BACK - 1 or (index == count - 1 and count < _HELD_BACK)


def _batches(weights: Mapping[Key, Tensor]) -> Iterator[dict[Key, Tensor]]:
    """As many as may be observed together."""
    batch: dict[Key, Tensor] = {}
    held = 0
    for key, weight in weights.items():
        needed = 2 * 4 * weight.shape[1] ** 2
        if batch and held + needed > _MOMENT_BYTES:
            yield batch
            batch, held = {}, 0
        batch[key] = weight
        held += needed
    yield batch


class _Moments:
    """``sums`` [in, in] of x times x transposed over the inputs x of each layer; zeros if it was never called."""

    def __init__(self, weights: Mapping[Key, Tensor]) -> None:
        self.sums = {key: torch.zeros(weight.shape[1], weight.shape[1]) for key, weight in weights.items()}

    def add(self, key: Key, inputs: Tensor) -> None:
        if key in self.sums:
            rows = inputs.reshape(-1, inputs.shape[-1]).to(torch.float32)
            self.sums[key].addmm_(rows.T, rows)


def _better(weight: Tensor, nearest: Tensor, learned: Tensor, judged: Tensor, group_size: int) -> _Found | None:
    """None where GPTQ cannot be carried out or makes no smaller an error: for instance with inputs never seen.

    It is judged by what it makes of some of the samples, and then carried out with all of them.
    """
    every = learned + judged
    if not (every.isfinite().all() and learned.any()):
        return None
    try:
        before = _output_error(weight - nearest, judged)
        after = _output_error(weight - round_weight(weight, learned, group_size).values, judged)
        return _Found(round_weight(weight, every, group_size), _ratio_db(before, after)) if after < before else None
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # absent from torch's stubs
        return None


def _output_error(difference: Tensor, moments: Tensor) -> float:
    """Sum of the squares by which the outputs of a layer change with its weight."""
    return float(((difference @ moments) * difference).sum())


def _ratio_db(before: float, after: float) -> float:
    return 10 * math.log10(before / max(after, _SMALLEST))


def _too_few(samples: int) -> str:
    return (
        f"GPTQ needs {_LEAST_SAMPLES} calibration samples and has {samples}; given with --calibration or in the "
        "ModelSource, they bring layers closer to PyTorch"
    )


def _gains(gains_db: Sequence[float], tried: int) -> str:
    middle_db = statistics.median(gains_db)
    return (
        f"GPTQ rounds the 4-bit weights of {len(gains_db)} of {tried} layers: on calibration samples held back from "
        f"it, the error of a layer's outputs is {middle_db:.1f} dB smaller than with the nearest integers (median)"
    )
