"""How long the runs took: every one of them, or their histogram where they are many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ashore.profiling.statistics import Latency
from ashore.report import drawing, figures
from ashore.report.columns import TIMES
from ashore.report.drawing import chart, plot, row
from ashore.report.entries import Entry, by_conditions, by_target
from ashore.report.markup import Markup, element, join
from ashore.report.scale import Scale
from ashore.report.tables import table

_HEIGHT = 48
_DOTS = 300
_BINS = 110
_ROOM = 1.25
"""The axis ends this much above the largest p90, so that one slow run does not flatten all others."""


def latencies(entries: Sequence[Entry]) -> Markup | None:
    timed = [entry for entry in entries if entry.latency]
    if not timed:
        return None
    drawings = []
    for group in by_target(timed).values():
        scale = _scale([entry.latency for entry in group if entry.latency])
        for conditions, alike in by_conditions(group).items():
            drawings.append(_panel(conditions.title, alike, scale))
    return join(_legend(timed), *drawings, element("h3", "In numbers"), table(timed, TIMES))


def _legend(timed: Sequence[Entry]) -> Markup:
    items = [("median", "median"), ("band", "its 95 % interval"), ("late", "p90")]
    if any(len(entry.result.latency_ns or ()) <= _DOTS for entry in timed):
        items.insert(0, ("dot", "one run; earlier runs stand higher"))
    if any(len(entry.result.latency_ns or ()) > _DOTS for entry in timed):
        items.insert(0, ("column", "share of the runs"))
    return drawing.legend(*items)


def _scale(known: Sequence[Latency]) -> Scale:
    high = max(min(each.max_ns, _ROOM * (each.p90_ns or each.max_ns)) for each in known)
    return Scale.around(min(each.min_ns for each in known), high)


def _panel(title: str, entries: Sequence[Entry], scale: Scale) -> Markup:
    ranked = sorted(entries, key=lambda entry: entry.latency.median_ns if entry.latency else 0)
    rows = [_row(entry, entry.latency, scale) for entry in ranked if entry.latency]
    caption = None if scale.low == 0 else "The axis does not start at 0."
    return chart(title, [*rows, drawing.axis(scale, figures.axis_milliseconds, "ms")], caption)


def _row(entry: Entry, latency: Latency, scale: Scale) -> Markup:
    shown = figures.milliseconds
    low, high = latency.interval.low, latency.interval.high
    told = (
        f"{entry.subject.label}: {figures.plural(latency.runs, 'run')}, from {shown(latency.min_ns)} to "
        f"{shown(latency.max_ns)} ms, median {shown(latency.median_ns)} ms"
    )
    marks = [drawing.grid(scale, _HEIGHT), _samples(entry, scale), _box(latency, scale), _beyond(entry, scale)]
    value = join(
        element("b", f"{shown(latency.median_ns)}"), " ms", element("small", figures.interval(low, high, shown))
    )
    return row(drawing.naming(entry), plot(_HEIGHT, told, *marks), value)


def _samples(entry: Entry, scale: Scale) -> Markup:
    samples = [ns for ns in entry.result.latency_ns or () if ns <= scale.high]
    drawn = _dots(samples, scale) if len(samples) <= _DOTS else _histogram(samples, scale)
    return element("g", drawn, class_=f"samples {drawing.colour(entry.subject)}")


def _dots(samples: Sequence[int], scale: Scale) -> Markup:
    room = _HEIGHT - 12
    return join(
        *(
            element("circle", cx=scale.percent(ns), cy=round(6 + room * index / max(len(samples) - 1, 1), 1), r=2.6)
            for index, ns in enumerate(samples)
        )
    )


def _histogram(samples: Sequence[int], scale: Scale) -> Markup:
    counts, _ = np.histogram(samples, bins=_BINS, range=(scale.low, scale.high))
    tallest, width = counts.max(), 100 / _BINS
    columns = [(index, max(1.0, (_HEIGHT - 6) * count / tallest)) for index, count in enumerate(counts) if count]
    return join(
        *(
            element(
                "rect",
                x=f"{index * width:.2f}%",
                y=round(_HEIGHT - tall, 1),
                width=f"{width:.2f}%",
                height=round(tall, 1),
            )
            for index, tall in columns
        )
    )


def _box(latency: Latency, scale: Scale) -> Markup:
    low, high = scale.fraction(latency.interval.low), scale.fraction(latency.interval.high)
    median, p90 = scale.percent(latency.median_ns), scale.percent(latency.p90_ns) if latency.p90_ns else None
    return join(
        element("rect", x=f"{100 * low:.2f}%", y=0, width=f"{100 * (high - low):.2f}%", height=_HEIGHT, class_="band"),
        element("line", x1=median, x2=median, y1=0, y2=_HEIGHT, class_="median"),
        element("line", x1=p90, x2=p90, y1=4, y2=_HEIGHT - 4, class_="late") if p90 else None,
    )


def _beyond(entry: Entry, scale: Scale) -> Markup:
    beyond = [ns for ns in entry.result.latency_ns or () if ns > scale.high]
    if not beyond:
        return Markup("")
    words = f"{len(beyond)} more, up to {figures.milliseconds(max(beyond))} ▸"
    return element("text", words, x="100%", y=_HEIGHT - 3, text_anchor="end", class_="beyond")
