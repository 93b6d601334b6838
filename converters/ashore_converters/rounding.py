"""Which matrices' weights are rounded by GPTQ, and to what: decided by measurement, alike for every backend."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ashore.interfaces import Progress
from ashore.sources.threads import settled_threads
from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore.types.recipe import Recipe, Rounding
from ashore.types.tensor import Sample
from ashore_converters.gptq import (
    LARGEST_OF_4_BITS,
    LARGEST_OF_8_BITS,
    Grid,
    Rounded,
    round_to_nearest,
    round_weight,
)
from ashore_converters.held import held_integers

Key = int | str
"""A matrix, as the backend names them."""

See = Callable[[Key, Tensor], None]
"""Takes the inputs [..., in] of a layer; [groups, ..., in] where its weight has groups."""

_LEAST_SAMPLES = 2
_HELD_BACK = 4
"""One of so many samples is not learned from, but judges."""

_MOMENT_BYTES = 2**30
"""What the moments of matrices that are observed in one pass over the samples may take."""

_SMALLEST = 1e-30
"""In the place of an error of zero, of which there is no logarithm."""


def _nearest_values(weight: Tensor, grid: Grid) -> Tensor:
    return round_to_nearest(weight, grid).values


@dataclass(frozen=True)
class Matrices:
    """What a backend is to round.

    Attributes:
        weights: float32 [out, in], or [groups, out, in] where each group of outputs has inputs of its own. In 4 bits
            each has one scale for a whole row where the groups of the recipe do not divide it, in 8 bits always.
        run: runs the model on a sample, and shows the inputs of these weights' layers.
        nearest: a weight and its grid -> the floats that the backend's own rounding leaves of it.
        bits: 4 or 8.
        measure_db: SQNR of the whole model on calibration samples, in dB, with these matrices and the nearest integers
            in all others. Where it is given, GPTQ must not make it less.
    """

    weights: Mapping[Key, Tensor]
    run: Callable[[Sample, See], None]
    nearest: Callable[[Tensor, Grid], Tensor] = _nearest_values
    bits: int = 4
    measure_db: Callable[[Mapping[Key, Rounded]], float] | None = None

    def grid(self, weight: Tensor, group_size: int) -> Grid:
        if self.bits == 8:
            return Grid(LARGEST_OF_8_BITS)
        divides = weight.shape[-1] % group_size == 0
        return Grid(LARGEST_OF_4_BITS, group_size if divides else None, short_scales=True)


@dataclass(frozen=True)
class Chosen:
    """What the user should know of the rounding, and the matrices not left to the backend.

    ``rounded``: by GPTQ. ``held``: those that came in four bits, and keep their integers.
    """

    told: tuple[str, ...] = ()
    rounded: Mapping[Key, Rounded] = field(default_factory=dict)
    held: Mapping[Key, Rounded] = field(default_factory=dict)


def choose_4bit(request: ConversionRequest, matrices: Matrices, progress: Progress) -> Chosen:
    """For matrices that come in four bits what they hold, for others GPTQ's integers where the recipe asks for it."""
    found = {
        key: held_integers(weight, matrices.grid(weight, request.recipe.group_size))
        for key, weight in matrices.weights.items()
    }
    held = {key: kept for key, kept in found.items() if kept is not None}
    rest = replace(matrices, weights={key: each for key, each in matrices.weights.items() if key not in held})
    by_gptq = request.recipe.rounding_of(Precision.INT4) is Rounding.GPTQ
    chosen = choose_rounding(request, rest, progress) if by_gptq else Chosen()
    return replace(chosen, told=(*_kept(len(held), len(found)), *chosen.told), held=held)


def choose_rounding(request: ConversionRequest, matrices: Matrices, progress: Progress) -> Chosen:
    """GPTQ's integers for all matrices whose layers then come closer to PyTorch than with the nearest integers.

    The caller has seen to it that the recipe asks for GPTQ.
    """
    samples, bits = request.calibration, matrices.bits
    if not matrices.weights:
        return Chosen()
    if len(samples) < _LEAST_SAMPLES:
        return _to_the_nearest(bits, _too_few(len(samples)))
    progress(f"rounding to {bits} bits by GPTQ")
    with torch.no_grad(), settled_threads(sum(weight.numel() for weight in matrices.weights.values())):
        found = _found(matrices, samples, request.recipe.group_size)
    if not found:
        return _to_the_nearest(bits, "GPTQ brings no layer closer to PyTorch")
    rounded = {key: one.rounded for key, one in found.items()}
    if matrices.measure_db is not None and matrices.measure_db(rounded) < matrices.measure_db({}):
        return _to_the_nearest(bits, "GPTQ brings single layers closer to PyTorch, but not the whole model")
    return Chosen((_gains(bits, [one.gain_db for one in found.values()], len(matrices.weights)),), rounded)


def with_carried_out(recipe: Recipe, by_gptq: bool) -> Recipe:
    """The recipe with the rounding that its file came to have; ``by_gptq``: that of at least one matrix.

    ``auto`` remains where the file has weights in 4 bits by GPTQ and in 8 bits to the nearest.
    """
    if not any(precision.rounds_weights for precision in recipe.precisions):
        return recipe
    if not by_gptq:
        return replace(recipe, rounding=Rounding.NEAREST)
    if any(recipe.rounding_of(precision) is Rounding.NEAREST for precision in recipe.precisions):
        return recipe
    return replace(recipe, rounding=Rounding.GPTQ)


def _to_the_nearest(bits: int, reason: str) -> Chosen:
    return Chosen((f"{bits}-bit weights are rounded to the nearest: {reason}",))


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
            grid = matrices.grid(weight, group_size)
            nearest = matrices.nearest(weight, grid)
            if (better := _better(weight, nearest, learned.sums[key], judged.sums[key], grid)) is not None:
                found[key] = better
    return found


def _judges(index: int, count: int) -> bool:
    return index % _HELD_BACK == _HELD_BACK - 1 or (index == count - 1 and count < _HELD_BACK)


def _batches(weights: Mapping[Key, Tensor]) -> Iterator[dict[Key, Tensor]]:
    """As many as may be observed together."""
    batch: dict[Key, Tensor] = {}
    held = 0
    for key, weight in weights.items():
        needed = 2 * 4 * weight.shape[-1] ** 2 * math.prod(weight.shape[:-2])
        if batch and held + needed > _MOMENT_BYTES:
            yield batch
            batch, held = {}, 0
        batch[key] = weight
        held += needed
    yield batch


class _Moments:
    """``sums`` [..., in, in] of x times x transposed over the inputs x of each layer; zeros if it was never called."""

    def __init__(self, weights: Mapping[Key, Tensor]) -> None:
        self.sums = {
            key: torch.zeros(*weight.shape[:-2], weight.shape[-1], weight.shape[-1]) for key, weight in weights.items()
        }

    def add(self, key: Key, inputs: Tensor) -> None:
        if key in self.sums:
            groups = self.sums[key].shape[:-2]
            rows = inputs.reshape(*groups, -1, inputs.shape[-1]).to(torch.float32)
            self.sums[key] += rows.mT @ rows


def _better(weight: Tensor, nearest: Tensor, learned: Tensor, judged: Tensor, grid: Grid) -> _Found | None:
    """None where GPTQ cannot be carried out or makes no smaller an error: for instance with inputs never seen.

    It is judged by what it makes of some of the samples, and then carried out with all of them.
    """
    every = learned + judged
    if not (every.isfinite().all() and learned.any()):
        return None
    try:
        before = _output_error(weight - nearest, judged)
        after = _output_error(weight - round_weight(weight, learned, grid).values, judged)
        return _Found(round_weight(weight, every, grid), _ratio_db(before, after)) if after < before else None
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


def _kept(held: int, every: int) -> tuple[str, ...]:
    return (f"the weights of {held} of {every} layers come in 4 bits and keep their integers",) if held else ()


def _gains(bits: int, gains_db: Sequence[float], tried: int) -> str:
    middle_db = statistics.median(gains_db)
    return (
        f"GPTQ rounds the {bits}-bit weights of {len(gains_db)} of {tried} layers: on calibration samples held back "
        f"from it, the error of a layer's outputs is {middle_db:.1f} dB smaller than with the nearest integers (median)"
    )
