"""The figures by which results are followed over time: each with its name, its unit and where it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ashore.errors import UsageError
from ashore.profiling.statistics import Latency, latency_of
from ashore.types.profile import Result


@dataclass(frozen=True)
class HistoryMetric:
    """``read`` gives the stored value, None where it was not measured; shown values are divided by ``scale``."""

    unit: str
    scale: float
    read: Callable[[Result], float | None]


def metric_values(result: Result) -> dict[str, float]:
    """Every metric that was measured, in stored units (nanoseconds, bytes, instructions, dB)."""
    values = {name: metric.read(result) for name, metric in METRICS.items()}
    return {name: float(value) for name, value in values.items() if value is not None}


def get_metric(name: str) -> HistoryMetric:
    """Raises UsageError for a name nobody knows."""
    if name not in METRICS:
        raise UsageError(f"there is no metric {name!r}", f"known: {', '.join(METRICS)}")
    return METRICS[name]


def _of_latency(read: Callable[[Latency], float | None]) -> Callable[[Result], float | None]:
    def value(result: Result) -> float | None:
        latency = latency_of(result)
        return None if latency is None else read(latency)

    return value


METRICS: Mapping[str, HistoryMetric] = {
    "latency": HistoryMetric("ms", 1e6, _of_latency(lambda latency: latency.median_ns)),
    "p90": HistoryMetric("ms", 1e6, _of_latency(lambda latency: latency.p90_ns)),
    "load": HistoryMetric("ms", 1e6, lambda result: result.load_ns),
    "first-run": HistoryMetric("ms", 1e6, lambda result: result.first_run_ns),
    "peak-memory": HistoryMetric("MB", 1e6, lambda result: result.memory.peak_bytes if result.memory else None),
    "size": HistoryMetric("MB", 1e6, lambda result: result.artifact.bytes),
    "compressed-size": HistoryMetric("MB", 1e6, lambda result: result.artifact.compressed_bytes),
    "instructions": HistoryMetric(
        "M", 1e6, lambda result: result.instructions.per_run if result.instructions else None
    ),
    "sqnr": HistoryMetric("dB", 1.0, lambda result: result.artifact.parity.sqnr_db if result.artifact.parity else None),
}
