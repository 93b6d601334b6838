"""When figures should not be trusted: every rule with its limit and the sentence that a reader gets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ashore.profiling.paces import pace_ns, slowdown
from ashore.profiling.statistics import Latency, latency_of
from ashore.types.profile import InputsOrigin, Load, Pace, Result
from ashore.types.target import TargetKind

SPREAD_LIMIT = 0.05
"""MLPerf asks that repeated measurements agree within 5 %; so must runs, processes, and the beginning and the end."""
PACE_LIMIT = 0.03
"""Models differ by about as much as the pace does, so that two within it agree within 5 %."""
SAME_FILE_LIMIT = 0.03
"""Of what a file needed here at its best: what is within it agrees within 5 %, with those that are faster still."""
BUSY_SHARE = 0.25
STOLEN_CORES = 0.03
THROTTLED_SHARE = 0.01
HOT_CELSIUS = {TargetKind.HOST: 90.0, TargetKind.EMULATOR: 90.0, TargetKind.DEVICE: 35.0}
"""Phones slow down long before servers do."""
_LEAST_RUNS_FOR_DRIFT = 16
_SEPARATED = 0.95
_KINDS = frozenset({"noisy", "not repeatable", "slowing", "hot", "shared", "slow", "stolen", "throttled"})


def warnings_of(result: Result) -> tuple[str, ...]:
    """What a reader of ``result`` must know, derived from its own samples and environment."""
    return (*_of_settings(result), *_of_samples(result), *_of_environment(result))


def disturbances(warnings: Sequence[str]) -> list[str]:
    """The first words of those among ``warnings`` that tell of noise, each once."""
    kinds = dict.fromkeys(warning.partition(":")[0] for warning in warnings)
    return [kind for kind in kinds if kind in _KINDS]


def _of_settings(result: Result) -> Iterator[str]:
    threads, cores = result.settings.threads, result.target.cores
    if cores is not None and threads > cores:
        yield f"{threads} threads on {cores} cores: they wait for each other"
    if result.settings.inputs is InputsOrigin.RANDOM:
        yield "measured on pseudo-random inputs, since the file has no golden ones"
    if result.target.runner == "python":
        yield "the engine ran inside of Python, not in the native runner: load time and memory include Python's own"


def _of_samples(result: Result) -> Iterator[str]:
    latency = latency_of(result)
    if latency is None:
        return
    yield from _of_history(latency.median_ns, result.environment.best_latency_ns)
    if latency.spread > SPREAD_LIMIT:
        yield f"noisy: single runs scatter by {latency.spread:.0%} around the median, {SPREAD_LIMIT:.0%} is quiet"
    if latency.between > SPREAD_LIMIT:
        yield (
            f"not repeatable: the medians of the {len(result.samples_by_repeat)} processes differ by "
            f"{latency.between:.0%}, {SPREAD_LIMIT:.0%} is quiet"
        )
    yield from _drift(result.samples_by_repeat, latency)


def _of_history(median_ns: float, best_ns: int | None) -> Iterator[str]:
    """The same file is the same work: where it takes longer, it is the machine, whatever its pace seemed to be."""
    if best_ns is not None and median_ns / best_ns - 1.0 > SAME_FILE_LIMIT:
        yield (
            f"slow: this same file has run {median_ns / best_ns - 1.0:.0%} faster on this machine "
            f"({best_ns / 1e6:.4g} ms), {SAME_FILE_LIMIT:.0%} is quiet; profile again when its neighbours are"
        )


def _drift(groups: Sequence[Sequence[int]], latency: Latency) -> Iterator[str]:
    """Every process slower at its end than at its beginning, beyond chance, is heat, power or growing load."""
    drifts = [_slowdown(group) for group in groups if len(group) >= _LEAST_RUNS_FOR_DRIFT]
    if drifts and min(drifts) > SPREAD_LIMIT and latency.median_ns:
        yield (
            f"slowing: in every process the last quarter of the runs is at least {min(drifts):.0%} slower than the "
            "first; the processor was throttled, unless other work grew meanwhile"
        )


def _slowdown(samples: Sequence[int]) -> float:
    """0 unless nearly every run of the last quarter is slower than nearly every run of the first."""
    quarter = len(samples) // 4
    first, last = np.asarray(samples[:quarter], np.float64), np.asarray(samples[-quarter:], np.float64)
    separated = float(np.mean(last[:, None] > first[None, :])) >= _SEPARATED
    return float(np.median(last) / np.median(first)) - 1.0 if separated and np.median(first) else 0.0


def _of_environment(result: Result) -> Iterator[str]:
    environment = result.environment
    temperature = environment.temperature
    limit = HOT_CELSIUS[result.target.kind]
    if temperature is not None and temperature.after_celsius > limit:
        yield f"hot: {temperature.after_celsius:.0f} °C after the runs, above {limit:.0f} °C clocks are lowered"
    if environment.pace is not None:
        yield from _of_pace(environment.pace)
    if environment.load is not None and result.target.kind is not TargetKind.EMULATOR:
        yield from _of_load(environment.load, result.settings.threads)
        yield from _of_quota(environment.load, sum(result.latency_ns or ()))


def _of_pace(pace: Pace) -> Iterator[str]:
    if slowdown(pace) > PACE_LIMIT:
        yield (
            f"slow: the machine ran {slowdown(pace):.0%} slower than its best ({pace_ns(pace) / 1000:.0f} µs for what "
            f"took {pace.best_ns / 1000:.0f} µs), {PACE_LIMIT:.0%} is quiet; profile again when its neighbours are"
        )


def _of_load(load: Load, threads: int) -> Iterator[str]:
    """Others disturb where they take the cores we need, or enough of the machine to share its memory and power."""
    cores = load.cores
    if load.others is not None and load.others > min(BUSY_SHARE * cores, max(cores - threads, 0) + BUSY_SHARE):
        yield f"shared: other processes took {load.others:.1f} of {cores} cores during the runs"
    if load.others is None and load.average_before > cores / 2:
        yield f"shared: the load average was {load.average_before:.1f} on {cores} cores before the runs"
    if load.stolen is not None and load.stolen > STOLEN_CORES:
        yield f"stolen: the hypervisor took {load.stolen:.0%} of a core away during the runs"
    if load.throttle_events:
        yield f"throttled: the processor lowered its clock {load.throttle_events} times during the runs"


def _of_quota(load: Load, measured_ns: int) -> Iterator[str]:
    if load.throttled_ns is not None and load.throttled_ns > THROTTLED_SHARE * measured_ns:
        yield f"throttled: the container's quota held processes back for {load.throttled_ns / 1e6:.0f} ms meanwhile"
