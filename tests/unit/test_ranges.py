"""Ranges of int8 activations: what each estimator keeps of values that are known."""

from __future__ import annotations

import numpy as np
import pytest

from ashore import RangeEstimator
from ashore_converters.ranges import Histogram, range_from_samples


def histogram(values: np.ndarray) -> Histogram:
    counted = Histogram(float(values.min()), float(values.max()))
    for part in np.array_split(values, 3):
        counted.add(part.astype(np.float32))
    return counted


def normal(count: int = 100_000) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(count)


def squared_error(values: np.ndarray, low: float, high: float) -> float:
    step = (high - low) / 255
    levels = np.clip(np.rint(values / step), np.rint(low / step), np.rint(low / step) + 255)
    return float(np.square(values - levels * step).sum())


CAUTIONS = [(0.0, (-2.0, 4.0)), (0.5, (-2.5, 5.0)), (1.0, (-3.0, 6.0))]


@pytest.mark.parametrize(("caution", "wanted"), CAUTIONS)
def test_the_mean_of_the_extremes_grows_with_caution_to_all_that_was_seen(
    caution: float, wanted: tuple[float, float]
) -> None:
    assert range_from_samples([-1.0, -3.0], [2.0, 6.0], caution=caution) == wanted


def test_a_range_holds_zero_and_minmax_holds_everything() -> None:
    assert range_from_samples([2.0, 3.0], [5.0, 9.0], estimator=RangeEstimator.MINMAX) == (0.0, 9.0)


def test_a_percentile_leaves_out_as_much_below_as_above() -> None:
    values = np.concatenate([np.linspace(-1.0, 3.0, 100_000), [-50.0] * 4, [70.0] * 4])
    low, high = histogram(values).percentile_range
    bin_width = 120 / 2048
    assert abs(low + 1.0) < bin_width and abs(high - 3.0) < bin_width


def test_the_least_squared_error_is_less_than_that_of_every_plain_choice() -> None:
    values = np.concatenate([normal(), [25.0, -12.0]])
    found = squared_error(values, *histogram(values).least_error_range)
    for low, high in ((-12.0, 25.0), (-4.0, 4.0), tuple(np.quantile(values, [0.01, 0.99]))):
        assert found < squared_error(values, low, high)


def test_of_values_that_are_never_negative_only_the_upper_end_is_searched() -> None:
    low, high = histogram(np.maximum(normal(), 0)).least_error_range
    assert low == 0.0 and 2.0 < high < 5.0


@pytest.mark.parametrize("values", [np.zeros(9), np.array([-np.inf, 0.0, 1.0]), np.array([-3.4e38, 3.4e38])])
def test_constants_and_masks_have_a_range_too(values: np.ndarray) -> None:
    counted = histogram(values)
    for low, high in (counted.percentile_range, counted.least_error_range):
        assert low <= 0.0 <= high and np.isfinite([low, high]).all()
