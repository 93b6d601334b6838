"""What more threads gain."""

from __future__ import annotations

from collections.abc import Sequence

from ashore.report import drawing, figures
from ashore.report.entries import Conditions, Entry, by_target
from ashore.report.frame import Axis, Frame, apart, framed
from ashore.report.markup import Markup, element, join
from ashore.report.scale import Scale

_BADGE = 18


def scalings(entries: Sequence[Entry]) -> Markup | None:
    panels = []
    for conditions, group in by_target(
        [entry for entry in entries if entry.latency and entry.latency.median_ns]
    ).items():
        swept = _swept(group)
        if swept:
            panels.append(_panel(conditions, swept))
    return element("div", *panels, class_="panels") if panels else None


def _swept(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The entries of each artifact that ran with several thread counts, fewest threads first."""
    keys = dict.fromkeys((entry.subject, entry.source) for entry in entries)
    lines = [[entry for entry in entries if (entry.subject, entry.source) == key] for key in keys]
    ordered = [sorted(line, key=lambda entry: entry.conditions.threads) for line in lines]
    return [line for line in ordered if len({entry.conditions.threads for entry in line}) > 1]


def _panel(conditions: Conditions, lines: Sequence[Sequence[Entry]]) -> Markup:
    curves = [_curve(line) for line in lines]
    counts = sorted({threads for curve in curves for threads, _ in curve})
    most = max(gain for curve in curves for _, gain in curve)
    top = max(most, min(counts[-1] / counts[0], 2 * most))
    air = 0.06 * (counts[-1] - counts[0])
    frame = Frame(Scale(counts[0] - air, counts[-1] + air), Scale(0.0, min(1.1 * top, top + 1)), 220)
    least = counts[0]
    ideal = frame.line(
        (least, 1.0), (min(counts[-1], least * frame.y.high), min(counts[-1] / least, frame.y.high)), "ideal"
    )
    marks = [ideal, *(mark for line, curve in zip(lines, curves, strict=True) for mark in _drawn(line, curve, frame))]
    x = Axis("threads →", lambda value: f"{value:.0f}", tuple(counts))
    y = Axis(
        f"↑ times as fast as with {figures.plural(least, 'thread')}; dashed: perfect scaling",
        lambda value: f"{value:g}",
    )
    told = f"how much faster {figures.plural(len(lines), 'artifact')} run with more threads"
    labelled = [*marks, *_ends(lines, curves, frame)]
    title = element("h3", conditions.target)
    drawn = element("figure", title, framed(frame, x, y, told, labelled), class_="chart panel")
    return join(drawn, element("div", _table(lines, counts), class_="chart panel"))


def _curve(line: Sequence[Entry]) -> list[tuple[int, float]]:
    first = line[0].latency
    return [
        (entry.conditions.threads, first.median_ns / entry.latency.median_ns)
        for entry in line
        if first and entry.latency
    ]


def _drawn(line: Sequence[Entry], curve: Sequence[tuple[int, float]], frame: Frame) -> list[Markup]:
    kind = drawing.colour(line[0].subject)
    dots = [element("circle", cx=frame.left(x), cy=frame.top(y), r=3.5, class_=f"point {kind}") for x, y in curve]
    return [*frame.lines(curve, f"curve {kind}"), *dots]


def _ends(
    lines: Sequence[Sequence[Entry]], curves: Sequence[Sequence[tuple[int, float]]], frame: Frame
) -> list[Markup]:
    """The artifacts' numbers right of the last points, moved apart where they would cover each other."""
    tops = apart([frame.top(curve[-1][1]) for curve in curves], _BADGE, frame.height - _BADGE / 2)
    return [
        drawing.pin(line[0].subject, frame.left(curve[-1][0]), top, beside=16)
        for line, curve, top in zip(lines, curves, tops, strict=True)
    ]


def _table(lines: Sequence[Sequence[Entry]], counts: Sequence[int]) -> Markup:
    head = element(
        "tr",
        element("th", "artifact", scope="col"),
        *(
            element("th", figures.plural(threads, "thread"), element("small", "p50 ms"), scope="col")
            for threads in counts
        ),
    )
    body = [element("tr", element("th", drawing.naming(line[0]), scope="row"), *_cells(line, counts)) for line in lines]
    whole = element("table", element("thead", head), element("tbody", *body), class_="figures small")
    return element("div", whole, class_="scroll", tabindex=0, role="region", aria_label="table, scrolls sideways")


def _cells(line: Sequence[Entry], counts: Sequence[int]) -> list[Markup]:
    known = {entry.conditions.threads: entry.latency for entry in line}
    first, cells = line[0].latency, []
    for threads in counts:
        latency = known.get(threads)
        if latency is None or first is None:
            cells.append(element("td", element("span", "not measured", class_="gap")))
            continue
        gain = element("small", figures.times(first.median_ns / latency.median_ns))
        cells.append(element("td", figures.milliseconds(latency.median_ns), gain))
    return cells
