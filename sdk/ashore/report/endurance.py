"""How speed holds up over minutes."""

from __future__ import annotations

from collections.abc import Sequence

from ashore.profiling.sustained import ends_of
from ashore.report import drawing, figures
from ashore.report.entries import Conditions, Entry, by_conditions
from ashore.report.frame import Axis, Frame, apart, framed
from ashore.report.markup import Markup, element, join
from ashore.report.scale import Scale
from ashore.types.profile import CurvePoint, Sustained

_BADGE = 18
_NS_PER_MS = 1e6


def endurances(entries: Sequence[Entry]) -> Markup | None:
    lasting = [entry for entry in entries if entry.result.sustained and entry.result.sustained.points]
    panels = [_panel(conditions, group) for conditions, group in by_conditions(lasting).items()]
    return join(*panels) if panels else None


def _panel(conditions: Conditions, entries: Sequence[Entry]) -> Markup:
    known = [(entry, entry.result.sustained) for entry in entries if entry.result.sustained]
    everything = [point for _, sustained in known for point in sustained.points]
    longest = max(point.start_s + point.seconds for point in everything) / 60
    frame = Frame(
        Scale(0.0, longest * 1.04),
        Scale.around(min(p.median_ns for p in everything), max(p.p90_ns for p in everything)),
        220,
    )
    marks = [mark for entry, sustained in known for mark in _drawn(entry, sustained, frame)]
    tops = apart(
        [frame.top(sustained.points[-1].median_ns) for _, sustained in known], _BADGE, frame.height - _BADGE / 2
    )
    ends = [
        drawing.pin(entry.subject, frame.left(_middle(sustained.points[-1])), top, beside=16)
        for (entry, sustained), top in zip(known, tops, strict=True)
    ]
    x = Axis("minutes →", lambda value: f"{value:g}")
    y = Axis("↑ ms: medians as lines, up to p90 as shade", figures.axis_milliseconds)
    told = "latency over time: " + "; ".join(_told(sustained) for entry, sustained in known)
    lines = [element("li", drawing.naming(entry), element("small", _told(each))) for entry, each in known]
    verdicts = element("ul", *lines, class_="verdicts")
    caption = None if frame.y.low == 0 else element("figcaption", "The upward axis does not start at 0.")
    title = element("h3", conditions.title)
    return element("figure", title, framed(frame, x, y, told, [*marks, *ends]), verdicts, caption, class_="chart")


def _drawn(entry: Entry, sustained: Sustained, frame: Frame) -> list[Markup]:
    kind = drawing.colour(entry.subject)
    shades = [_shade(point, frame, kind) for point in sustained.points]
    medians = [(_middle(point), float(point.median_ns)) for point in sustained.points]
    return [*shades, *frame.lines(medians, f"curve {kind}")]


def _shade(point: CurvePoint, frame: Frame, kind: str) -> Markup:
    start, end = point.start_s / 60, (point.start_s + point.seconds) / 60
    width = 100 * (frame.x.fraction(end) - frame.x.fraction(start))
    top, bottom = frame.top(point.p90_ns), frame.top(point.median_ns)
    return element(
        "rect", x=frame.left(start), y=top, width=f"{width:.2f}%", height=round(bottom - top, 1), class_=f"shade {kind}"
    )


def _middle(point: CurvePoint) -> float:
    return (point.start_s + point.seconds / 2) / 60


def _told(sustained: Sustained) -> str:
    ends = ends_of(sustained)
    first, last = (figures.milliseconds(ns) for ns in (ends.first_ns, ends.last_ns))
    return f"{ends.words[0]} {first} ms, {ends.words[1]} {last} ms ({figures.change(ends.ratio)})"
