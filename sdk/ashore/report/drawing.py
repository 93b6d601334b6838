"""Pieces that all charts share. Widths are percentages and heights pixels, so that one drawing fits every screen."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ashore.report.entries import Entry, Subject, by_conditions
from ashore.report.markup import Markup, element, join
from ashore.report.scale import Scale

COLOURS = 8
_BREAKS = re.compile(r"(?<=[._-])(?=[^._-])")


def colour(subject: Subject) -> str:
    """Class of the artifact's colour; its number tells apart those that share one."""
    return f"c{(subject.number - 1) % COLOURS}"


def badge(subject: Subject) -> Markup:
    """The artifact's number, by which all charts name it."""
    return element("span", str(subject.number), class_=f"badge {colour(subject)}")


def pin(subject: Subject, left: str, top: float, beside: int = 0) -> Markup:
    """The artifact's number in a drawing, ``beside`` pixels right of ``left``."""
    disc = element("circle", cx=left, cy=top, r=8, transform=f"translate({beside} 0)" if beside else None)
    number = element("text", str(subject.number), x=left, y=top, dx=beside, dy="0.36em", text_anchor="middle")
    return element("g", disc, number, class_=f"pin {colour(subject)}")


def naming(entry: Entry, note: str | None = None) -> Markup:
    """Badge and title, which may break after its dots and underscores."""
    pieces = _BREAKS.split(entry.subject.label)
    title = join(pieces[0], *(join(element("wbr"), piece) for piece in pieces[1:]))
    return join(badge(entry.subject), element("span", title, element("small", note) if note else None, class_="title"))


def whereabouts(entries: Sequence[Entry]) -> list[Markup]:
    """Numbers of the artifacts and conditions of results that something is true for."""
    return [
        element("span", *(badge(entry.subject) for entry in group), conditions.title, class_="where")
        for conditions, group in by_conditions(entries).items()
    ]


def row(label: Markup, plot: Markup, value: Markup | str) -> Markup:
    """One line of a chart: on a phone, label and value stand above the plot."""
    return element(
        "div",
        element("div", label, class_="label"),
        element("div", plot, class_="plot"),
        element("div", value, class_="value"),
        class_="row",
    )


def plot(height: int, told: str, *marks: Markup) -> Markup:
    """A drawing as wide as its place; ``told`` is what it says to those who do not see it."""
    return element("svg", *marks, role="img", aria_label=told, width="100%", height=height)


def grid(scale: Scale, height: int) -> Markup:
    return join(
        *(
            element("line", x1=scale.percent(tick), x2=scale.percent(tick), y1=0, y2=height, class_="grid")
            for tick in scale.ticks()
        )
    )


def axis(scale: Scale, show: Callable[[float], str], unit: str) -> Markup:
    """The line of numbers below the rows of a chart; the last one carries the unit."""
    ticks = scale.ticks()
    labels = [
        element(
            "text",
            f"{show(tick)} {unit}" if tick == ticks[-1] else show(tick),
            x=scale.percent(tick),
            y=13,
            text_anchor=_anchor(scale.fraction(tick)),
        )
        for tick in ticks
    ]
    drawn = element("svg", *labels, width="100%", height=18, aria_hidden="true", class_="ticks")
    return row(Markup(""), drawn, Markup(""))


def chart(title: str | None, rows: Sequence[Markup], caption: str | Markup | None = None) -> Markup:
    return element(
        "figure",
        element("h3", title) if title else None,
        element("div", *rows, class_="rows"),
        element("figcaption", caption) if caption else None,
        class_="chart",
    )


def legend(*items: tuple[str, str]) -> Markup:
    """(class of the swatch, words) each."""
    return element(
        "p", *(element("span", element("i", class_=f"swatch {kind}"), words) for kind, words in items), class_="legend"
    )


def _anchor(fraction: float) -> str:
    return "start" if fraction < 0.03 else "end" if fraction > 0.9 else "middle"
