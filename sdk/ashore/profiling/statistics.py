"""Figures derived from raw samples, the same every time: the random draws have a fixed seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ashore.types.profile import Result
from ashore.types.target import TargetKind

CONFIDENCE = 0.95
_P90_NEEDS, _P99_NEEDS = 10, 100
_SEED = 4
_DRAWS, _FEWER_DRAWS, _MANY_SAMPLES = 2000, 400, 5_000
_BATCH_VALUES = 2_000_000
_NORMAL_MAD = 1.4826
"""Of a normal distribution, the standard deviation is so many median absolute deviations."""

Groups = Sequence[Sequence[int]]
"""Samples of one quantity, one group a process."""
_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """Where the true value lies with 95 % confidence."""

    low: float
    high: float


@dataclass(frozen=True)
class Latency:
    """Statistics of the timed runs.

    ``interval`` is the median's. ``mad_ns`` is the median absolute deviation. ``spread`` is 1.4826 times that over the
    median (0.02 = the runs scatter by 2 %), ``between`` the range of the processes' own medians over the median.
    Percentiles that the samples are too few for are None: p90 needs 10, p99 needs 100.
    """

    runs: int
    median_ns: float
    interval: Interval
    p90_ns: float | None
    p99_ns: float | None
    min_ns: float
    max_ns: float
    mad_ns: float
    spread: float
    between: float


@dataclass(frozen=True)
class Ratio:
    """``value`` = median of the new samples / median of the base's; 1.1 is 10 % more."""

    value: float
    interval: Interval


def latency_of(result: Result) -> Latency | None:
    """None where there are no timed runs, and for emulated targets, whose time is not the model's."""
    if result.target.kind is TargetKind.EMULATOR or not result.latency_ns:
        return None
    return summarise(result.samples_by_repeat)


def summarise(groups: Groups) -> Latency:
    """``groups`` holds at least one sample."""
    samples = np.concatenate([np.asarray(group, np.float64) for group in groups])
    median = float(np.median(samples))
    mad = float(np.median(np.abs(samples - median)))
    medians = [float(np.median(group)) for group in groups]
    return Latency(
        runs=samples.size,
        median_ns=median,
        interval=median_interval(groups),
        p90_ns=_percentile(samples, 90, _P90_NEEDS),
        p99_ns=_percentile(samples, 99, _P99_NEEDS),
        min_ns=float(samples.min()),
        max_ns=float(samples.max()),
        mad_ns=mad,
        spread=_NORMAL_MAD * mad / median if median else 0.0,
        between=(max(medians) - min(medians)) / median if median else 0.0,
    )


def median_interval(groups: Groups) -> Interval:
    """Bootstrap interval of the median."""
    return _interval(_medians(groups, np.random.default_rng(_SEED)))


def ratio_of(base: Groups, new: Groups) -> Ratio:
    """How many times ``base`` the ``new`` median is, with its bootstrap interval; the base's median is not 0."""
    value = float(np.median(np.concatenate(new)) / np.median(np.concatenate(base)))
    generator = np.random.default_rng(_SEED)
    with np.errstate(divide="ignore", invalid="ignore"):  # a draw of the base may be 0 where the clock is coarse
        drawn = np.nan_to_num(_medians(new, generator) / _medians(base, generator), nan=value)
    return Ratio(value, _interval(drawn))


def _percentile(samples: _Floats, percent: float, needed: int) -> float | None:
    return float(np.percentile(samples, percent)) if samples.size >= needed else None


def _medians(groups: Groups, generator: np.random.Generator) -> _Floats:
    """Medians of samples drawn with replacement.

    Runs of one process share its memory layout and its moment, so they say less than as many independent runs. Where
    there are several processes, each draw therefore takes processes first, and runs of those second. So few processes
    scatter less among draws than in truth, by (k - 1) / k in variance, which is put back.
    """
    arrays = [np.asarray(group, np.float64) for group in groups]
    size = round(sum(array.size for array in arrays) / len(arrays))
    draws = _DRAWS if size * len(arrays) <= _MANY_SAMPLES else _FEWER_DRAWS
    batch = max(1, _BATCH_VALUES // (size * len(arrays)))
    batches = [_draw(arrays, size, min(batch, draws - start), generator) for start in range(0, draws, batch)]
    medians = np.concatenate([np.median(values, axis=1) for values in batches])
    if len(arrays) == 1:
        return medians
    centre = float(np.median(np.concatenate(arrays)))
    widened: _Floats = centre + (medians - centre) * math.sqrt(len(arrays) / (len(arrays) - 1))
    return np.maximum(widened, 0.0)


def _draw(arrays: Sequence[_Floats], size: int, draws: int, generator: np.random.Generator) -> _Floats:
    """(draws, values): each row holds ``size`` values of each of as many processes as there are."""
    chosen = generator.integers(len(arrays), size=(draws, len(arrays)))
    pool, sizes = np.concatenate(arrays), np.array([array.size for array in arrays])
    starts = np.cumsum(sizes) - sizes
    within = generator.random((draws, len(arrays), size)) * sizes[chosen][..., None]
    rows: _Floats = pool[starts[chosen][..., None] + within.astype(np.int64)].reshape(draws, -1)
    return rows


def _interval(draws: _Floats) -> Interval:
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return Interval(float(low), float(high))
