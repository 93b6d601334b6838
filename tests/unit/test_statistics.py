"""Statistics: right on figures whose answer is known, the same every time, honest about few samples."""

from __future__ import annotations

import numpy as np
import pytest

from ashore.profiling.statistics import latency_of, median_interval, ratio_of, summarise
from handmade import EMULATOR, MS, around, result


def processes(count: int, runs: int, seed: int, apart: float = 0.0) -> list[list[int]]:
    """Normal samples of 10 ms with 2 % scatter; processes are ``apart`` by that share besides."""
    generator = np.random.default_rng(seed)
    centres = 10 * MS * (1 + apart * generator.normal(size=count))
    return [generator.normal(centre, 0.02 * 10 * MS, runs).astype(int).tolist() for centre in centres]


def test_the_figures_of_known_samples() -> None:
    latency = summarise([list(range(1, 101))])
    assert (latency.runs, latency.median_ns, latency.min_ns, latency.max_ns) == (100, 50.5, 1, 100)
    assert latency.p90_ns == pytest.approx(90.1)
    assert latency.p99_ns == pytest.approx(99.01)
    assert latency.mad_ns == 25
    assert latency.spread == pytest.approx(1.4826 * 25 / 50.5)
    assert latency.between == 0.0


def test_percentiles_that_samples_are_too_few_for_are_absent() -> None:
    few, some = summarise([[1] * 9]), summarise([[1] * 99])
    assert (few.p90_ns, few.p99_ns) == (None, None)
    assert (some.p90_ns, some.p99_ns) == (1.0, None)


def test_processes_that_differ_are_told_apart_from_runs_that_scatter() -> None:
    latency = summarise([[100] * 20, [100] * 20, [120] * 20])
    assert latency.between == pytest.approx(0.2)
    assert latency.spread == 0.0


def test_the_same_samples_give_the_same_interval() -> None:
    assert summarise(processes(3, 20, 1)) == summarise(processes(3, 20, 1))


@pytest.mark.parametrize("groups", [[[7] * 20] * 3, [[7]], [[0, 0], [0]]], ids=["equal", "one", "zero"])
def test_samples_without_scatter_have_no_width(groups: list[list[int]]) -> None:
    latency = summarise(groups)
    assert latency.interval.low == latency.interval.high == latency.median_ns
    assert latency.spread == latency.between == 0.0


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """95 % are promised; with 3 processes the bootstrap is known to fall a little short."""
    held = 0
    for seed in range(200):
        interval = median_interval(processes(3, 20, seed, apart=0.01))
        held += interval.low <= 10 * MS <= interval.high
    assert 0.85 <= held / 200 <= 0.99


def test_more_runs_of_the_same_processes_do_not_hide_that_these_differ() -> None:
    few, many = (median_interval(processes(3, runs, 5, apart=0.05)) for runs in (20, 2000))
    assert many.high - many.low > 0.5 * (few.high - few.low)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.3, 4.0])
def test_a_known_factor_is_found(factor: float) -> None:
    base = processes(3, 20, 1)
    new = [[round(factor * ns) for ns in group] for group in processes(3, 20, 2)]
    ratio = ratio_of(base, new)
    assert ratio.value == pytest.approx(factor, rel=0.02)
    assert ratio.interval.low <= factor <= ratio.interval.high
    assert ratio.interval.high - ratio.interval.low < 0.1 * factor


def test_unequal_numbers_of_runs_are_no_obstacle() -> None:
    latency = summarise([[10] * 5, [20] * 400, [20] * 3])
    assert latency.median_ns == 20
    assert latency.interval.low <= 20 <= latency.interval.high


def test_many_samples_are_summed_up_in_bounded_memory() -> None:
    latency = summarise(processes(3, 20_000, 1))
    assert latency.median_ns == pytest.approx(10 * MS, rel=0.01)
    assert latency.interval.high - latency.interval.low < 0.02 * 10 * MS


def test_an_emulators_time_is_no_latency() -> None:
    assert latency_of(result(None)) is None
    assert latency_of(result([around(10)], target=EMULATOR)) is None
    assert latency_of(result(10.0)) is not None
