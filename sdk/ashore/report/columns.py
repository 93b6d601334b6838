"""The columns of the table, said once for HTML, Markdown and CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from ashore.report import figures
from ashore.report.entries import Entry

_ABSENT = "the profile does not hold it"
Reader = Callable[[Entry], float | None]


class Better(Enum):
    LOWER = "lower"
    HIGHER = "higher"


@dataclass(frozen=True)
class Column:
    """One figure of an entry.

    Attributes:
        key: its name in CSV, with the unit.
        heading, unit: as people read them.
        read: the raw value; None where it was not measured.
        show: the value as text, in ``unit``.
        metrics: names under which a profile says why the figure is missing, most telling first.
        otherwise: the reason where the profile says none.
        better: which end is good; None where neither is.
    """

    key: str
    heading: str
    unit: str
    read: Reader
    show: Callable[[float], str]
    metrics: tuple[str, ...]
    otherwise: str = _ABSENT
    better: Better | None = None

    def reason(self, entry: Entry) -> str:
        """Why the figure is missing."""
        skipped = entry.result.skipped
        known = next((skipped[metric] for metric in self.metrics if metric in skipped), None)
        untimed = "latency_ns" in self.metrics and entry.latency is None
        return known or (_ABSENT if untimed else self.otherwise)


def best_of(column: Column, entries: Sequence[Entry]) -> list[Entry]:
    """Those with the best figure among entries of the same conditions; none where all are the same or only one has it.

    Medians whose intervals overlap are equally good: nobody has shown one of them to be faster.
    """
    values = {id(entry): value for entry in entries if (value := column.read(entry)) is not None}
    known = [entry for entry in entries if id(entry) in values]
    if column.better is None or len(known) < 2:
        return []
    pick = min if column.better is Better.LOWER else max
    winner = pick(known, key=lambda entry: values[id(entry)])
    best = [entry for entry in known if _as_good(column, entry, winner)]
    return best if len(best) < len(known) else []


def _as_good(column: Column, entry: Entry, winner: Entry) -> bool:
    if column is P50 and entry.latency and winner.latency:
        return entry.latency.interval.low <= winner.latency.interval.high
    return column.show(column.read(entry) or 0.0) == column.show(column.read(winner) or 0.0)


def _memory(field: str) -> Reader:
    return lambda entry: getattr(entry.result.memory, field, None)


def _latency(field: str) -> Reader:
    return lambda entry: getattr(entry.latency, field, None)


def _parity(field: str) -> Reader:
    return lambda entry: getattr(entry.result.artifact.parity, field, None)


_UNPROVEN = "ashore did not make this file, so nobody compared it with PyTorch"
_TIME = ("latency_ns", "latency")
_MEMORY = ("memory",)

SIZE = Column("size_bytes", "size", "MB", lambda e: e.result.artifact.bytes, figures.megabytes, (), better=Better.LOWER)
COMPRESSED = Column(
    "compressed_bytes",
    "compressed",
    "MB",
    lambda e: e.result.artifact.compressed_bytes,
    figures.megabytes,
    ("compressed_bytes",),
    better=Better.LOWER,
)
SQNR = Column(
    "sqnr_db", "SQNR", "dB", _parity("sqnr_db"), figures.decibels, ("parity",), _UNPROVEN, better=Better.HIGHER
)
TOP1 = Column(
    "top1_agreement",
    "top-1 kept",
    "%",
    _parity("top1_agreement"),
    figures.percent,
    ("top1_agreement", "parity"),
    "no output of the model is known to hold class scores",
    better=Better.HIGHER,
)
P50 = Column("latency_p50_ns", "p50", "ms", _latency("median_ns"), figures.milliseconds, _TIME, better=Better.LOWER)
P50_LOW = Column(
    "latency_p50_low_ns",
    "p50 from",
    "ms",
    lambda e: e.latency.interval.low if e.latency else None,
    figures.milliseconds,
    _TIME,
)
P50_HIGH = Column(
    "latency_p50_high_ns",
    "p50 to",
    "ms",
    lambda e: e.latency.interval.high if e.latency else None,
    figures.milliseconds,
    _TIME,
)
P90 = Column(
    "latency_p90_ns",
    "p90",
    "ms",
    _latency("p90_ns"),
    figures.milliseconds,
    _TIME,
    "p90 takes at least 10 runs",
)
P99 = Column(
    "latency_p99_ns", "p99", "ms", _latency("p99_ns"), figures.milliseconds, _TIME, "p99 takes at least 100 runs"
)
FASTEST = Column("latency_min_ns", "fastest", "ms", _latency("min_ns"), figures.milliseconds, _TIME)
SLOWEST = Column("latency_max_ns", "slowest", "ms", _latency("max_ns"), figures.milliseconds, _TIME)
SPREAD = Column("latency_spread", "spread", "%", _latency("spread"), figures.percent, _TIME)
RUNS = Column("latency_runs", "runs", "", _latency("runs"), lambda value: f"{value:.0f}", _TIME)
LOAD = Column("load_ns", "load", "ms", lambda e: e.result.load_ns, figures.milliseconds, ("load_ns", *_TIME))
FIRST = Column(
    "first_run_ns", "first run", "ms", lambda e: e.result.first_run_ns, figures.milliseconds, ("first_run_ns", *_TIME)
)
BASELINE = Column("memory_baseline_bytes", "baseline", "MB", _memory("baseline_bytes"), figures.megabytes, _MEMORY)
LOADED = Column("memory_loaded_bytes", "loaded", "MB", _memory("loaded_bytes"), figures.megabytes, _MEMORY)
PEAK = Column(
    "memory_peak_bytes",
    "peak memory",
    "MB",
    _memory("peak_bytes"),
    figures.megabytes,
    _MEMORY,
    better=Better.LOWER,
)
PLANNED = Column(
    "memory_planned_bytes",
    "planned",
    "MB",
    _memory("planned_bytes"),
    figures.megabytes,
    ("planned_bytes", *_MEMORY),
    "the engine does not tell",
)
DELEGATED = Column(
    "delegated_share",
    "in delegate",
    "%",
    lambda e: e.result.artifact.delegation.share if e.result.artifact.delegation else None,
    figures.percent,
    ("delegation",),
    "the file does not tell which operators the delegate takes",
    better=Better.HIGHER,
)
INSTRUCTIONS = Column(
    "instructions_per_run",
    "instructions",
    "per run",
    lambda e: e.result.instructions.per_run if e.result.instructions else None,
    figures.count,
    ("instructions",),
    "instructions are counted on emulators",
    better=Better.LOWER,
)

TABLE = (SIZE, COMPRESSED, SQNR, TOP1, P50, P90, PEAK, DELEGATED, INSTRUCTIONS)
"""What every format shows, in this order."""
TIMES = (RUNS, FASTEST, P50, P90, P99, SLOWEST, SPREAD, LOAD, FIRST)
ALL = (
    *(SIZE, COMPRESSED, SQNR, TOP1, RUNS, FASTEST, P50, P50_LOW, P50_HIGH, P90, P99, SLOWEST, SPREAD, LOAD, FIRST),
    *(BASELINE, LOADED, PEAK, PLANNED, DELEGATED, INSTRUCTIONS),
)
"""What programs get."""
