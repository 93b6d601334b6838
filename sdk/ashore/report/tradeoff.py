"""Size, speed and accuracy at once, and which artifacts no other beats in all three."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from ashore.report import drawing, figures
from ashore.report.columns import INSTRUCTIONS, P50, SQNR, Column
from ashore.report.entries import Conditions, Entry, by_conditions
from ashore.report.frame import Axis, Frame, framed
from ashore.report.markup import Markup, element
from ashore.report.scale import Scale

_RADIUS, _SMALLEST = 24.0, 10.0
_AIR = 0.12
_PHONE, _GAP = 280, 18
"""Pixels: the width of the drawing where it is narrow, and the room that a number takes."""


@dataclass(frozen=True)
class Point:
    """``cost`` is the median latency in nanoseconds, or instructions of a run where time says nothing."""

    entry: Entry
    cost: float
    sqnr_db: float
    size_bytes: int

    def beats(self, other: Point) -> bool:
        """At least as good in everything, and better in something: in time only where the intervals are apart."""
        mine = (self.cost, -self.sqnr_db, self.size_bytes)
        theirs = (other.cost, -other.sqnr_db, other.size_bytes)
        better = mine[1:] != theirs[1:] or self._surely_faster(other)
        return better and all(one <= two for one, two in zip(mine, theirs, strict=True))

    def _surely_faster(self, other: Point) -> bool:
        mine, theirs = self.entry.latency, other.entry.latency
        if mine is None or theirs is None:
            return self.cost < other.cost
        return mine.interval.high < theirs.interval.low


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats: the Pareto front."""
    return [point for point in points if not any(other.beats(point) for other in points)]


def tradeoffs(entries: Sequence[Entry]) -> Markup | None:
    panels = []
    for conditions, group in by_conditions(entries).items():
        cost = P50 if any(entry.latency for entry in group) else INSTRUCTIONS
        points = _points(group, cost)
        if len(points) > 1:
            panels.append(_panel(conditions, points, group, cost))
    return element("div", *panels, class_="panels") if panels else None


def _points(entries: Sequence[Entry], cost: Column) -> list[Point]:
    found = [(entry, cost.read(entry), SQNR.read(entry)) for entry in entries]
    return [
        Point(entry, value, sqnr, entry.result.artifact.bytes)
        for entry, value, sqnr in found
        if value is not None and sqnr is not None
    ]


def _panel(conditions: Conditions, points: Sequence[Point], entries: Sequence[Entry], cost: Column) -> Markup:
    best = front(points)
    frame = Frame(_aired([point.cost for point in points]), _aired([point.sqnr_db for point in points]))
    show = figures.axis_milliseconds if cost is P50 else figures.axis_count
    x = Axis(f"{cost.heading}, {cost.unit} →", show)
    y = Axis("↑ SQNR, dB", lambda value: f"{value:.0f}")
    marks = [*(_disc(point, frame, point in best, points) for point in points), *_numbers(points, frame)]
    told = f"{len(best)} of {len(points)} artifacts are beaten by no other in {cost.heading}, SQNR and size"
    shown = {id(point.entry) for point in points}
    missing = [entry.subject.title for entry in entries if id(entry) not in shown]
    caption = "All are on the front: none beats another in everything. " if len(best) == len(points) else ""
    caption += f"Not in the picture, as a figure was not measured: {', '.join(missing)}." if missing else ""
    return element(
        "figure",
        element("h3", conditions.title),
        framed(frame, x, y, told, marks),
        element("ul", *(_line(point, best, points, cost) for point in points), class_="verdicts"),
        element("figcaption", caption) if caption else None,
        class_="chart panel",
    )


def _aired(values: Sequence[float]) -> Scale:
    """Room for whole bubbles at both ends; the axis starts at 0 where that costs little."""
    low, high = min(values), max(values)
    start = 0.0 if low < 0.5 * high else low
    air = _AIR * (high - start) or 0.1 * high or 1.0
    return Scale(start - air if start else min(low - air, 0.0), high + air)


def _disc(point: Point, frame: Frame, best: bool, points: Sequence[Point]) -> Markup:
    largest = max(other.size_bytes for other in points) or 1
    radius = round(max(_RADIUS * sqrt(point.size_bytes / largest), _SMALLEST), 1)
    kind = f"disc {drawing.colour(point.entry.subject)} {'front' if best else 'beaten'}"
    return element("circle", cx=frame.left(point.cost), cy=frame.top(point.sqnr_db), r=radius, class_=kind)


def _numbers(points: Sequence[Point], frame: Frame) -> list[Markup]:
    """In the middle of the discs, or as near above or below as they do not cover each other on a phone."""
    drawn: list[tuple[float, float]] = []
    for point in points:
        left, middle = frame.x.fraction(point.cost) * _PHONE, frame.top(point.sqnr_db)
        steps = sorted((_GAP * step for step in range(-len(points), len(points) + 1)), key=abs)
        tops = (middle + step for step in steps if 0 <= middle + step <= frame.height)
        free = (top for top in tops if not any(abs(x - left) < _GAP and abs(y - top) < _GAP for x, y in drawn))
        drawn.append((left, next(free, middle)))
    return [
        drawing.pin(point.entry.subject, frame.left(point.cost), top)
        for point, (_, top) in zip(points, drawn, strict=True)
    ]


def _line(point: Point, best: Sequence[Point], points: Sequence[Point], cost: Column) -> Markup:
    unit = "ms" if cost is P50 else "instructions"
    size = figures.megabytes(point.size_bytes)
    told = f"{cost.show(point.cost)} {unit}, {figures.decibels(point.sqnr_db)} dB, {size} MB"
    if len(best) == len(points):
        verdict = None
    elif point in best:
        verdict = element("strong", "on the front")
    else:
        winner = next(other for other in best if other.beats(point))
        verdict = element("span", "beaten by ", drawing.badge(winner.entry.subject), class_="muted")
    return element("li", drawing.naming(point.entry), element("small", told), verdict)
