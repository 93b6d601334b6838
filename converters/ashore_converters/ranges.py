"""From what was seen on calibration samples to the range an int8 activation covers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ashore.types.recipe import RangeEstimator
from ashore.types.tensor import Array

_BINS = 2048
"""Eight for each of int8's levels over the whole range."""

_KEPT_SHARE = 0.9999
"""Of all values, by the percentile: one of the shares that Wu et al. 2020, arXiv:2004.09602, compare."""

_END_SHARES = np.linspace(1.0, 0.1, 31)
"""What the search for the least squared error tries to keep of each end."""

_STEPS = 255

CAUTIONS = (0.0, 0.5, 1.0)
"""What is tried where the estimator is the usual one: the mean, all that was seen, and the middle between them."""

_Range = tuple[float, float]


def counts_values(estimator: RangeEstimator) -> bool:
    """Whether it needs a histogram, which takes a second pass over the samples."""
    return estimator in (RangeEstimator.PERCENTILE, RangeEstimator.MSE)


class Histogram:
    """How often the values of one tensor were seen, in a fixed number of bins.

    Bins are centred on the multiples of their width, so that zero, the most frequent value, is held exactly. A range
    is asked for when all values were added.
    """

    def __init__(self, low: float, high: float) -> None:
        """``low`` and ``high``: the extremes of what will be added."""
        low, high = min(low, 0.0), max(high, 0.0)
        width = (high - low) / _BINS
        self._width = width if np.isfinite(width) and width > 0 else 1.0
        self._first, last = self._bins(np.array([low, high]))
        self._counts = np.zeros(last - self._first + 1, np.int64)

    def add(self, values: Array) -> None:
        bins = self._bins(values.ravel()) - self._first
        self._counts += np.bincount(np.clip(bins, 0, len(self._counts) - 1), minlength=len(self._counts))

    @cached_property
    def percentile_range(self) -> _Range:
        """The values between which ``_KEPT_SHARE`` of all lie, with as many below them as above."""
        below = np.cumsum(self._counts) / self._counts.sum()
        tail = (1 - _KEPT_SHARE) / 2
        low, high = np.searchsorted(below, [tail, 1 - tail])
        return float(self._centres[low]), float(self._centres[high])

    @cached_property
    def least_error_range(self) -> _Range:
        """The range with the least squared error of rounding to 256 levels (Nagel et al. 2021, arXiv:2106.08295)."""
        ends = self._centres[[0, -1]]
        lows, highs = (end * (_END_SHARES if end else _END_SHARES[:1]) for end in ends)
        errors = np.stack([self._errors(each, highs) for each in lows])
        best_low, best_high = np.unravel_index(errors.argmin(), errors.shape)
        return float(lows[best_low]), float(highs[best_high])

    @property
    def _centres(self) -> NDArray[np.float64]:
        centres: NDArray[np.float64] = (self._first + np.arange(len(self._counts))) * self._width
        return centres

    def _bins(self, values: Array) -> NDArray[np.int64]:
        """Of masks with infinities only that they are far out: such tensors stay in float."""
        bins = np.nan_to_num(values.astype(np.float64) / self._width, posinf=_BINS, neginf=-_BINS)
        whole: NDArray[np.int64] = np.rint(np.clip(bins, -_BINS, _BINS)).astype(np.int64)
        return whole

    def _errors(self, low: float, highs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of squares for each of ``highs``."""
        steps = np.maximum(highs - low, self._width)[:, None] / _STEPS
        least = np.rint(low / steps)
        levels = np.clip(np.rint(self._centres / steps), least, least + _STEPS)
        errors: NDArray[np.float64] = np.square(self._centres - levels * steps) @ self._counts
        return errors


def range_from_samples(
    minima: Sequence[float],
    maxima: Sequence[float],
    *,
    estimator: RangeEstimator = RangeEstimator.MEAN,
    histogram: Histogram | None = None,
    caution: float = 0.0,
) -> _Range:
    """The interval (low, high) that 256 levels are spread over; it always holds zero.

    Inside a network by default the mean over samples of each sample's extremes: a single outlier among the samples then
    no longer stretches the grid for all of them, and what it clips, the layers behind it average out. At the model's
    outputs nothing comes behind: there clipping would make the most confident answers equal, so a ``caution`` of 1
    keeps the extremes of all samples.

    Args:
        minima, maxima: of the tensor, one for each sample.
        estimator: see :class:`ashore.types.recipe.RangeEstimator`.
        histogram: of all its values, where ``counts_values(estimator)``.
        caution: 0 for what the estimator finds, 1 for all that was seen; between them, between.
    """
    if not minima:
        raise ValueError("no sample was observed")
    true = min(minima), max(maxima)
    found = _estimated(estimator, minima, maxima, histogram) if caution < 1 else true
    low, high = (inside + caution * (end - inside) for inside, end in zip(found, true, strict=True))
    return min(low, 0.0), max(high, 0.0)


def _estimated(
    estimator: RangeEstimator, minima: Sequence[float], maxima: Sequence[float], histogram: Histogram | None
) -> _Range:
    if estimator is RangeEstimator.MEAN:
        return sum(minima) / len(minima), sum(maxima) / len(maxima)
    if estimator is RangeEstimator.MINMAX:
        return min(minima), max(maxima)
    assert histogram is not None
    return histogram.percentile_range if estimator is RangeEstimator.PERCENTILE else histogram.least_error_range
