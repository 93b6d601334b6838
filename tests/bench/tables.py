"""Every figure beside its target, and whether it was met."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from turns import Estimate

_COLUMNS = ("figure", "95 % interval", "target", "met")


@dataclass(frozen=True)
class Target:
    """``shown`` formats the figure and its bounds; None as a whole where the issue only asks for the figure."""

    shown: str
    most: float
    least: float = -math.inf

    def __str__(self) -> str:
        most = self.shown.format(self.most)
        return f"at most {most}" if self.least == -math.inf else f"{self.shown.format(self.least)} to {most}"

    def allows(self, value: float) -> bool:
        return self.least <= value <= self.most


@dataclass(frozen=True)
class Row:
    """``theirs`` and ``ours`` are what the figure was made of."""

    subject: str
    theirs: str
    ours: str
    figure: Estimate
    target: Target

    @property
    def met(self) -> str:
        """With a question mark where the interval holds the target: the next run may say otherwise."""
        met = self.target.allows(self.figure.value)
        bounds = (self.target.allows(self.figure.low), self.target.allows(self.figure.high))
        sure = all(bounds) if met else not any(bounds)
        return ("yes" if met else "NO") + ("" if sure else "?")


@dataclass(frozen=True)
class Section:
    """A table. ``columns`` name the subject, theirs and ours, with their units."""

    title: str
    columns: tuple[str, str, str]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def show(section: Section, out: Console) -> None:
    table = Table(title=section.title, title_justify="left")
    for index, column in enumerate((*section.columns, *_COLUMNS)):
        table.add_column(column, justify="right" if 0 < index < 5 else "left")
    for row in section.rows:
        table.add_row(*_cells(row), style="bold" if row.met.startswith("NO") else "")
    out.print(table)
    for note in section.notes:
        out.print(f"  {note}", highlight=False)


def _cells(row: Row) -> tuple[str, ...]:
    value, low, high = (row.target.shown.format(x) for x in (row.figure.value, row.figure.low, row.figure.high))
    told = row.target.most == math.inf
    interval = f"{low} to {high}" if row.figure.low < row.figure.high else ""
    return (
        row.subject,
        row.theirs,
        row.ours,
        value,
        interval,
        "" if told else str(row.target),
        "" if told else row.met,
    )


def show_verdict(sections: Sequence[Section], out: Console) -> None:
    judged = [row for section in sections for row in section.rows if row.target.most != math.inf]
    met = sum(row.met.startswith("yes") for row in judged)
    out.print(f"{met} of {len(judged)} targets met", style="bold", highlight=False)
    for section in sections:
        missed = [row for row in section.rows if row.target.most != math.inf and row.met.startswith("NO")]
        if missed:
            out.print(f"missed in: {section.title}", highlight=False)
        for row in missed:
            figure = row.target.shown.format(row.figure.value)
            out.print(f"  {row.subject}: {figure}, {row.target} ({row.met})", highlight=False)
    if any(row.met.endswith("?") for row in judged):
        out.print("?: the interval holds the target; a quieter machine or more rounds would tell", highlight=False)
