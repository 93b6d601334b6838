"""From what was seen on calibration samples to the range an int8 activation covers."""

from __future__ import annotations

from collections.abc import Sequence


def range_from_samples(
    minima: Sequence[float], maxima: Sequence[float], *, true_range: bool = False
) -> tuple[float, float]:
    """The interval (low, high) that 256 levels are spread over; it always holds zero.

    Inside a network the mean over samples of each sample's extremes: a single outlier among the samples then no
    longer stretches the grid for all of them, and what it clips, the layers behind it average out. At the model's
    outputs nothing comes behind: there clipping would make the most confident answers equal, so ``true_range`` keeps
    the extremes of all samples.
    """
    if not minima:
        raise ValueError("no sample was observed")
    low = min(minima) if true_range else sum(minima) / len(minima)
    high = max(maxima) if true_range else sum(maxima) / len(maxima)
    return min(low, 0.0), max(high, 0.0)
