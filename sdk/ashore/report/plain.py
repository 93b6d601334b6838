"""The table as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from ashore.report import figures
from ashore.report.alike import grouped, merged
from ashore.report.columns import ALL, P50, TABLE, Column, best_of
from ashore.report.entries import Conditions, Entry, by_conditions
from ashore.report.markup import printable

_ABOUT = ("artifact", "backend", "precision", "sha256", "target", "target_kind", "cpu", "abi", "os")
_HOW = ("runtime_version", "runner", "mode", "threads", "warmup", "repeats")
_END = ("warnings", "not_measured", "profile")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$])")


def csv_text(entries: Sequence[Entry]) -> str:
    """One line a result. Units are in the names of the columns; what was not measured is an empty field.

    Words that a spreadsheet would take for a formula begin with an apostrophe.
    """
    written = io.StringIO()
    lines = csv.writer(written, lineterminator="\n")
    lines.writerow([*_ABOUT, *_HOW, *(column.key for column in ALL), *_END])
    for entry in entries:
        values = [_exact(column.read(entry)) for column in ALL]
        lines.writerow([*map(_word, _about(entry)), *map(_word, _how(entry)), *values, *map(_word, _end(entry))])
    return written.getvalue()


def _about(entry: Entry) -> list[str]:
    artifact, target = entry.result.artifact, entry.result.target
    about = [artifact.name, artifact.backend, artifact.precision or "", artifact.sha256]
    return [*about, target.id, target.kind, target.cpu, target.abi, target.os]


def _how(entry: Entry) -> list[str]:
    target, settings = entry.result.target, entry.result.settings
    numbers = [settings.threads, settings.warmup, settings.repeats]
    return [target.runtime_version, target.runner or "", settings.mode, *map(str, numbers)]


def _end(entry: Entry) -> list[str]:
    missing: dict[str, list[str]] = {}
    for column in ALL:
        if column.read(entry) is None:
            missing.setdefault(column.reason(entry), []).append(column.key)
    reasons = [f"{' '.join(keys)}: {reason}" for reason, keys in missing.items()]
    return ["; ".join(entry.result.warnings), "; ".join(reasons), entry.source]


def _exact(value: float | None) -> str:
    if value is None:
        return ""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _word(text: str) -> str:
    shown = printable(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def markdown(entries: Sequence[Entry]) -> str:
    """One table for each set of conditions, then why figures are missing, then the warnings."""
    notes: list[str] = []
    parts = [_section(conditions, group, notes) for conditions, group in by_conditions(entries).items()]
    if notes:
        parts.append("\n".join(f"{number}. not measured: {_escaped(note)}" for number, note in enumerate(notes, 1)))
    warnings = dict.fromkeys(warning for entry in entries for warning in entry.result.warnings)
    if warnings:
        parts.append("Warnings:\n\n" + "\n".join(f"- {_escaped(merged(alike))}" for alike in grouped(warnings)))
    parts.append("Bold is best under the same conditions. p50 stands with its 95 % interval.")
    return "\n\n".join(parts) + "\n"


def _section(conditions: Conditions, entries: Sequence[Entry], notes: list[str]) -> str:
    headings = ["artifact", *(" ".join(filter(None, (column.heading, column.unit))) for column in TABLE)]
    best = {column.key: best_of(column, entries) for column in TABLE}
    rows = [
        [_escaped(entry.subject.title), *(_cell(column, entry, best[column.key], notes) for column in TABLE)]
        for entry in entries
    ]
    lines = [headings, ["---", *["---:"] * len(TABLE)], *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"### {_escaped(conditions.title)}\n\n{_escaped(conditions.cpu)}, {_escaped(conditions.os)}\n\n{table}"


def _cell(column: Column, entry: Entry, best: Sequence[Entry], notes: list[str]) -> str:
    value = column.read(entry)
    if value is None:
        reason = column.reason(entry)
        if reason not in notes:
            notes.append(reason)
        return f"not measured ({notes.index(reason) + 1})"
    text = column.show(value)
    shown = f"**{text}**" if entry in best else text
    if column is P50 and entry.latency:
        low, high = entry.latency.interval.low, entry.latency.interval.high
        shown += f" ({figures.interval(low, high, column.show)})"
    return shown


def _escaped(text: str) -> str:
    """Text that neither Markdown nor the HTML inside of it takes for more than text, in one line."""
    line = printable(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", line)
