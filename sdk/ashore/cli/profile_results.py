"""Profiles, explanations, comparisons and histories as JSON fields and as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ashore.cli.terminal import Terminal
from ashore.profiling.causes import Cause, plural
from ashore.profiling.comparison import ComparedPair, Comparison
from ashore.profiling.explain import Explanation
from ashore.profiling.history import Series
from ashore.profiling.metrics import get_metric
from ashore.profiling.statistics import latency_of
from ashore.profiling.summaries import COLUMNS, notes_of, rows_of, verdict_of
from ashore.profiling.sustained import ends_of
from ashore.types.profile import OpCost, Profile, Result

_BARS = "▁▂▃▄▅▆▇█"
_LONGEST_LINE = 40
_BAR_WIDTH = 40
_SHOWN_OPS = 10
_PROFILE_COLUMNS = (
    *("artifact", "target", "thr.", "p50 ms", "95 % interval", "p90 ms", "load ms", "peak MB", "file MB"),
    *("SQNR dB", "deleg.", "M instr."),
)


def show_profile(terminal: Terminal, profile: Profile) -> None:
    for result in profile.results:
        if result.warnings:
            where = f"{result.title} on {result.target.id}, {plural(result.settings.threads, 'thread')}"
            terminal.show_warning(f"{where}: {'; '.join(result.warnings)}")
    columns = list(zip(_PROFILE_COLUMNS, *(_cells(result) for result in profile.results), strict=True))
    measured = [column for column in columns if set(column[1:]) != {"-"}]
    terminal.show_table("profile", *_turned(measured))
    for result in profile.results:
        if result.sustained:
            ends = ends_of(result.sustained)
            terminal.show_text(
                f"{result.title} on {result.target.id}, {result.sustained.minutes:g} minutes without a pause: "
                f"{ends.words[0]} {ends.first_ns / 1e6:.3f} ms, {ends.words[1]} {ends.last_ns / 1e6:.3f} ms "
                f"({ends.ratio - 1:+.1%})"
            )
        if result.ops and result.ops_pass:
            _show_ops(terminal, result, result.ops, result.ops_pass.runs)


def _show_ops(terminal: Terminal, result: Result, ops: Sequence[OpCost], runs: int) -> None:
    """The costliest operators; all of them are in the profile and in the report."""
    total = sum(op.ns for op in ops) or 1
    dearest = sorted(ops, key=lambda op: -op.ns)[:_SHOWN_OPS]
    rows = [
        (op.name, op.module or "", "yes" if op.delegated else "NO", f"{op.ns / runs / 1e6:.3f}", f"{op.ns / total:.1%}")
        for op in dearest
    ]
    rest = sum(op.ns for op in ops) - sum(op.ns for op in dearest)
    if rest:
        rows.append(
            (f"{plural(len(ops) - len(dearest), 'other')}", "", "", f"{rest / runs / 1e6:.3f}", f"{rest / total:.1%}")
        )
    where = f"{result.title} on {result.target.id}, {plural(result.settings.threads, 'thread')}"
    terminal.show_table(f"operators of {where}", ("operator", "module", "in delegate", "ms", "share"), rows)


def _turned(columns: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns with their headings as headings and rows."""
    heading, *rows = zip(*columns, strict=True)
    return heading, rows


def _cells(result: Result) -> tuple[str, ...]:
    latency, artifact = latency_of(result), result.artifact
    interval = f"{_milliseconds(latency.interval.low)} to {_milliseconds(latency.interval.high)}" if latency else "-"
    return (
        result.title,
        result.target.id,
        str(result.settings.threads),
        _milliseconds(latency.median_ns if latency else None),
        interval,
        _milliseconds(latency.p90_ns if latency else None),
        _milliseconds(result.load_ns),
        _scaled(result.memory.peak_bytes if result.memory else None, 1),
        _scaled(artifact.bytes, 2),
        f"{artifact.parity.sqnr_db:.1f}" if artifact.parity else "-",
        f"{artifact.delegation.delegated}/{artifact.delegation.total}" if artifact.delegation else "-",
        _scaled(result.instructions.per_run if result.instructions else None, 2),
    )


def _milliseconds(ns: float | None) -> str:
    """As exact as measurements of that length are."""
    return _scaled(ns, 4 if (ns or 0) < 1e6 else 3 if (ns or 0) < 1e7 else 2)


def _scaled(value: float | None, digits: int) -> str:
    """Nanoseconds as milliseconds, bytes as MB, instructions as millions."""
    return "-" if value is None else f"{value / 1e6:.{digits}f}"


def explanation_fields(explanation: Explanation) -> dict[str, Any]:
    return {
        "title": explanation.title,
        "verdict": explanation.verdict,
        "causes": [_cause_fields(cause) for cause in explanation.causes],
        "best": _cause_fields(explanation.best) if explanation.best else None,
    }


def _cause_fields(cause: Cause) -> dict[str, Any]:
    return {key: value for key, value in asdict(cause).items() if value is not None}


def show_explanations(terminal: Terminal, explanations: Sequence[Explanation]) -> None:
    for explanation in explanations:
        lines = [f"\nwhy is {explanation.title} not faster?", f"  {explanation.verdict}"]
        for cause in explanation.causes:
            lines += [f"  - {cause.statement}", f"      {cause.evidence}"]
        if explanation.best:
            saved = (explanation.best.cost_ns or 0.0) / 1e6
            lines.append(f"  would help most (up to {saved:.3f} ms a run): {explanation.best.change}")
        terminal.show_text("\n".join(lines))


def comparison_fields(comparison: Comparison) -> dict[str, Any]:
    return {
        "exceeded": comparison.exceeded,
        "verdict": verdict_of(comparison),
        "thresholds": {key: value for key, value in asdict(comparison.thresholds).items() if value is not None},
        "pairs": [_pair_fields(pair) for pair in comparison.pairs],
        "missing": list(comparison.missing),
        "added": list(comparison.added),
    }


def _pair_fields(pair: ComparedPair) -> dict[str, Any]:
    differences = [
        {key: value for key, value in asdict(difference).items() if value is not None}
        for difference in pair.differences
    ]
    return {
        "base": pair.base.title,
        "new": pair.new.title,
        "target": pair.new.target.id,
        "threads": pair.new.settings.threads,
        "mode": pair.new.settings.mode,
        "exceeded": pair.exceeded,
        "differences": differences,
        "notes": list(pair.notes),
        "absent": list(pair.absent),
    }


def show_comparison(terminal: Terminal, comparison: Comparison) -> None:
    terminal.show_table("comparison", COLUMNS, rows_of(comparison))
    for note in notes_of(comparison):
        terminal.show_text(f"note: {note}")
    terminal.show_text(verdict_of(comparison))


def series_fields(series: Series) -> dict[str, Any]:
    return asdict(series) | {"unit": get_metric(series.metric).unit, "scale": get_metric(series.metric).scale}


def show_history(terminal: Terminal, found: Sequence[Series]) -> None:
    columns = ("artifact", "target", "threads", "mode", "metric", "profiles", "first", "latest", "change", "over time")
    terminal.show_table("history", columns, [_series_cells(series) for series in found])
    if len(found) == 1:
        show_points(terminal, found[0])


def _series_cells(series: Series) -> tuple[str, ...]:
    first, latest = series.values[0], series.values[-1]
    change = f"{latest / first - 1:+.1%}" if first > 0 else "-"
    return (
        series.artifact,
        series.target,
        str(series.threads),
        series.mode,
        series.metric,
        str(len(series.values)),
        _with_unit(series, first),
        _with_unit(series, latest),
        change,
        sparkline(series.values),
    )


def show_points(terminal: Terminal, series: Series) -> None:
    """One line a profile, with a bar from zero."""
    most = max(series.values) or 1.0
    for created, value in series.points:
        bar = "█" * max(0, round(_BAR_WIDTH * value / most))
        terminal.show_text(f"{created}  {_with_unit(series, value):>14}  {bar}")


def sparkline(values: Sequence[float]) -> str:
    """The latest values between their least and their most, one character each."""
    latest = values[-_LONGEST_LINE:]
    low, high = min(latest), max(latest)
    if low == high:
        return _BARS[len(_BARS) // 2] * len(latest)
    return "".join(_BARS[round((value - low) / (high - low) * (len(_BARS) - 1))] for value in latest)


def _with_unit(series: Series, value: float) -> str:
    metric = get_metric(series.metric)
    return f"{value / metric.scale:.3f} {metric.unit}"
