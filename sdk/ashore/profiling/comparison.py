"""Two profiles against each other: what may be compared, by how much it differs, and whether that is too much."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ashore.errors import UsageError
from ashore.profiling.noise import PACE_LIMIT
from ashore.profiling.paces import slowdown_between
from ashore.profiling.pairing import Pair, pair_up
from ashore.profiling.profiles import load_profile
from ashore.profiling.statistics import Interval, Ratio, latency_of, ratio_of
from ashore.types.profile import Profile, Result
from ashore.types.target import TargetKind

FAIL_SLOWER_PERCENT = 10.0
FAIL_MEMORY_PERCENT = 10.0
FAIL_SQNR_DB = 3.0


class Metric(StrEnum):
    LATENCY = "latency"
    INSTRUCTIONS = "instructions"
    MEMORY = "peak memory"
    SIZE = "file size"
    SQNR = "SQNR"


_SKIPPED_AS = {
    Metric.LATENCY: "latency_ns",
    Metric.INSTRUCTIONS: "instructions",
    Metric.MEMORY: "memory",
    Metric.SIZE: "artifact",
    Metric.SQNR: "parity",
}


@dataclass(frozen=True)
class Thresholds:
    """What is too much. ``sqnr_db`` None asks for 3 dB where both files have the same precision, for nothing else."""

    slower_percent: float = FAIL_SLOWER_PERCENT
    memory_percent: float = FAIL_MEMORY_PERCENT
    sqnr_db: float | None = None

    def __post_init__(self) -> None:
        for value in (self.slower_percent, self.memory_percent, 0.0 if self.sqnr_db is None else self.sqnr_db):
            if not value >= 0:  # NaN too
                raise UsageError(f"a threshold is {value:g}", "give 0 or more; inf never fails")


@dataclass(frozen=True)
class Difference:
    """One metric of one pair.

    ``change`` is new / base, but for SQNR the difference new - base in dB. ``interval`` is the change's, where there
    are samples. ``exceeded`` says whether it is beyond ``limit`` (in the unit of ``change``; None where there is none).
    ``undecided``: it would be the other way round, were the machine's own pace taken off; then it is not ``exceeded``.
    """

    metric: Metric
    base: float
    new: float
    change: float
    interval: Interval | None = None
    limit: float | None = None
    exceeded: bool = False
    undecided: bool = False


@dataclass(frozen=True)
class ComparedPair:
    """``notes``: what differs besides, in sentences. ``absent``: which metrics could not be compared, and why."""

    base: Result
    new: Result
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def exceeded(self) -> bool:
        return any(difference.exceeded for difference in self.differences)

    @property
    def title(self) -> str:
        base, new = self.base.title, self.new.title
        names = base if base == new else f"{base} → {new}"
        threads = self.new.settings.threads
        return f"{names} on {self.new.target.id}, {threads} thread{'s' if threads > 1 else ''}"


@dataclass(frozen=True)
class Comparison:
    """``missing`` were measured in the base alone, ``added`` in the new profile alone."""

    pairs: tuple[ComparedPair, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]
    thresholds: Thresholds

    @property
    def exceeded(self) -> bool:
        return any(pair.exceeded for pair in self.pairs)


def compare(
    base: Profile | Path | str, new: Profile | Path | str, *, thresholds: Thresholds | None = None
) -> Comparison:
    """Compare what was measured under the same conditions in both.

    Results are paired by artifact (name, backend, precision), target, threads and mode. Two profiles of one artifact
    each, of the same model name, may differ in precision or backend. A run is too slow when the ratio of medians is
    beyond the threshold and its 95 % interval lies above 1; instructions, which repeat, count without an interval.
    Where that hangs on the pace of the machine itself, which was not the same for both, it is undecided.

    Raises:
        UsageError: nothing in them may be compared; the message says what stands against it.
        ArtifactError: a file is no profile.
    """
    first, second = (each if isinstance(each, Profile) else load_profile(each) for each in (base, new))
    limits = thresholds or Thresholds()
    paired = pair_up(first, second)
    return Comparison(
        tuple(_compared(pair, limits) for pair in paired.pairs), paired.missing, paired.added, thresholds=limits
    )


def _compared(pair: Pair, thresholds: Thresholds) -> ComparedPair:
    base, new = pair.base, pair.new
    found = {
        Metric.LATENCY: _latency(base, new, thresholds),
        Metric.INSTRUCTIONS: _instructions(base, new, thresholds),
        Metric.MEMORY: _memory(base, new, thresholds),
        Metric.SIZE: _size(base, new),
        Metric.SQNR: _sqnr(base, new, thresholds),
    }
    differences = tuple(difference for difference in found.values() if difference)
    absent = [_absence(metric, base, new) for metric, difference in found.items() if difference is None]
    return ComparedPair(base, new, differences, pair.notes, tuple(text for text in absent if text))


def _absence(metric: Metric, base: Result, new: Result) -> str | None:
    """Why a metric was not compared; None where nobody would expect it."""
    if metric is Metric.LATENCY and new.target.kind is TargetKind.EMULATOR:
        return "latency: the time of an emulator is not compared"
    if metric is Metric.INSTRUCTIONS and base.instructions is None and new.instructions is None:
        return None
    reasons = {
        where: result.skipped.get(_SKIPPED_AS[metric])
        for where, result in (("the base", base), ("the new profile", new))
    }
    told = [f"not in {where}, {reason}" for where, reason in reasons.items() if reason]
    return f"{metric}: {'; '.join(told) or 'one of the profiles does not have it'}"


def _latency(base: Result, new: Result, thresholds: Thresholds) -> Difference | None:
    before, after = latency_of(base), latency_of(new)
    if before is None or after is None or not before.median_ns:
        return None
    ratio = ratio_of(base.samples_by_repeat, new.samples_by_repeat)
    limit = 1 + thresholds.slower_percent / 100
    drift = slowdown_between(base.environment.pace, new.environment.pace) or 0.0
    exceeded = _too_slow(ratio, limit, 0.0)
    undecided = abs(drift) > PACE_LIMIT and _too_slow(ratio, limit, drift) != exceeded
    figures = (Metric.LATENCY, before.median_ns, after.median_ns, ratio.value, ratio.interval, limit)
    return Difference(*figures, exceeded=exceeded and not undecided, undecided=undecided)


def _too_slow(ratio: Ratio, limit: float, drift: float) -> bool:
    """``drift``: the share by which the machine itself was slower, taken off."""
    return ratio.value / (1 + drift) > limit and ratio.interval.low / (1 + drift) > 1.0


def _instructions(base: Result, new: Result, thresholds: Thresholds) -> Difference | None:
    if base.instructions is None or new.instructions is None:
        return None
    limit = thresholds.slower_percent
    return _grown(Metric.INSTRUCTIONS, base.instructions.per_run, new.instructions.per_run, limit)


def _memory(base: Result, new: Result, thresholds: Thresholds) -> Difference | None:
    if base.memory is None or new.memory is None:
        return None
    return _grown(Metric.MEMORY, base.memory.peak_bytes, new.memory.peak_bytes, thresholds.memory_percent)


def _size(base: Result, new: Result) -> Difference | None:
    return _grown(Metric.SIZE, base.artifact.bytes, new.artifact.bytes, None)


def _grown(metric: Metric, base: float, new: float, limit_percent: float | None) -> Difference | None:
    if not base:
        return None
    limit = None if limit_percent is None else 1 + limit_percent / 100
    return Difference(metric, base, new, new / base, None, limit, exceeded=limit is not None and new / base > limit)


def _sqnr(base: Result, new: Result, thresholds: Thresholds) -> Difference | None:
    before, after = base.artifact.parity, new.artifact.parity
    if before is None or after is None:
        return None
    limit = thresholds.sqnr_db
    if limit is None and base.artifact.precision == new.artifact.precision:
        limit = FAIL_SQNR_DB
    change = after.sqnr_db - before.sqnr_db
    exceeded = limit is not None and -change > limit
    return Difference(
        Metric.SQNR, before.sqnr_db, after.sqnr_db, change, None, None if limit is None else -limit, exceeded=exceeded
    )
