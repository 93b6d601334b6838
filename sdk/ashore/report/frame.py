"""Charts with two axes: x in percent of the width, y in pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ashore.report.markup import Markup, element
from ashore.report.scale import Scale

Show = Callable[[float], str]


@dataclass(frozen=True)
class Frame:
    """Where points lie; ``height`` in pixels."""

    x: Scale
    y: Scale
    height: int = 260

    def left(self, value: float) -> str:
        return self.x.percent(value)

    def top(self, value: float) -> float:
        return round(self.height * (1 - self.y.fraction(value)), 1)

    def line(self, start: tuple[float, float], end: tuple[float, float], kind: str) -> Markup:
        """Straight; SVG has no polyline in percent, so longer ones are drawn piece by piece."""
        (x1, y1), (x2, y2) = start, end
        return element("line", x1=self.left(x1), y1=self.top(y1), x2=self.left(x2), y2=self.top(y2), class_=kind)

    def lines(self, points: Sequence[tuple[float, float]], kind: str) -> list[Markup]:
        return [self.line(start, end, kind) for start, end in pairwise(points)]


@dataclass(frozen=True)
class Axis:
    """``title`` says what the numbers are, with their unit."""

    title: str
    show: Show
    ticks: tuple[float, ...] | None = None


def framed(frame: Frame, x: Axis, y: Axis, told: str, marks: Sequence[Markup]) -> Markup:
    """The drawing between its axes; ``told`` is what it says to those who do not see it."""
    x_ticks = x.ticks if x.ticks is not None else tuple(frame.x.ticks())
    y_ticks = y.ticks if y.ticks is not None else tuple(frame.y.ticks(4))
    across = [element("line", x1="0%", x2="100%", y1=frame.top(at), y2=frame.top(at), class_="grid") for at in y_ticks]
    upwards = [
        element("line", x1=frame.left(at), x2=frame.left(at), y1=0, y2=frame.height, class_="grid") for at in x_ticks
    ]
    inside = element("svg", *across, *upwards, *marks, role="img", aria_label=told, width="100%", height=frame.height)
    return element(
        "div",
        element("div", y.title, class_="y-title"),
        element("div", _y_labels(frame, y, y_ticks), class_="y-axis"),
        element("div", inside, class_="inside"),
        element("div", _x_labels(frame, x, x_ticks), class_="x-axis"),
        element("div", x.title, class_="x-title"),
        class_="frame",
    )


def _y_labels(frame: Frame, axis: Axis, ticks: Sequence[float]) -> Markup:
    labels = [element("text", axis.show(at), x="100%", y=frame.top(at) + 4, text_anchor="end") for at in ticks]
    return element("svg", *labels, width="100%", height=frame.height, aria_hidden="true", class_="ticks")


def _x_labels(frame: Frame, axis: Axis, ticks: Sequence[float]) -> Markup:
    labels = [element("text", axis.show(at), x=frame.left(at), y=14, text_anchor="middle") for at in ticks]
    return element("svg", *labels, width="100%", height=20, aria_hidden="true", class_="ticks")


def apart(tops: Sequence[float], gap: float, lowest: float) -> list[float]:
    """``tops`` moved as little as needed to stand ``gap`` apart, closer where they are many, none below ``lowest``.

    In the order given.
    """
    gap = min(gap, lowest / max(len(tops), 1))
    order = sorted(range(len(tops)), key=lambda index: tops[index])
    moved = list(tops)
    for before, index in pairwise(order):
        moved[index] = max(moved[index], moved[before] + gap)
    limit = lowest
    for index in reversed(order):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - gap
    return moved
