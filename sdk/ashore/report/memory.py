"""What the process held: before the model, after loading it, at most."""

from __future__ import annotations

from collections.abc import Sequence

from ashore.report import drawing, figures
from ashore.report.columns import PEAK
from ashore.report.drawing import chart, plot, row
from ashore.report.entries import Entry, by_conditions, by_target
from ashore.report.markup import Markup, element, join
from ashore.report.scale import Scale
from ashore.types.profile import Memory
from ashore.types.target import TargetKind

_HEIGHT, _BAR = 42, 18


def memories(entries: Sequence[Entry]) -> Markup | None:
    measured = [entry for entry in entries if entry.result.memory]
    if not measured:
        return None
    legend = drawing.legend(
        ("m0", "engine alone, before the model"), ("m1", "added by loading it"), ("m2", "added by running it, at most")
    )
    panels = []
    for group in by_target(measured).values():
        scale = Scale.around(0, max(PEAK.read(entry) or 0 for entry in group), from_zero=True)
        panels += [_panel(conditions.title, alike, scale) for conditions, alike in by_conditions(group).items()]
    return join(legend, *panels)


def _panel(title: str, entries: Sequence[Entry], scale: Scale) -> Markup:
    rows = [_row(entry, entry.result.memory, scale) for entry in entries if entry.result.memory]
    methods = dict.fromkeys(entry.result.memory.method for entry in entries if entry.result.memory)
    caption = f"Read from {'; '.join(methods)}, in a pass of its own. Planned: arenas that the engine announces."
    if entries[0].conditions.kind is TargetKind.EMULATOR:
        caption += " The emulator's own memory is part of all three."
    return chart(title, [*rows, drawing.axis(scale, figures.axis_megabytes, "MB")], caption)


def _row(entry: Entry, memory: Memory, scale: Scale) -> Markup:
    shown = figures.megabytes
    steps = (memory.baseline_bytes, memory.loaded_bytes, memory.peak_bytes)
    told = (
        f"{entry.subject.label}: {shown(steps[0])} MB before, {shown(steps[1])} MB loaded, {shown(steps[2])} MB at most"
    )
    planned = f"{shown(memory.planned_bytes)} planned" if memory.planned_bytes is not None else None
    note = f"{shown(steps[0])} before, {shown(steps[1])} loaded"
    value = join(element("b", shown(steps[2])), " MB", element("small", planned) if planned else None)
    drawn = plot(_HEIGHT, told, drawing.grid(scale, _HEIGHT), *_bars(steps, scale))
    return row(drawing.naming(entry, note), drawn, value)


def _bars(steps: Sequence[int], scale: Scale) -> list[Markup]:
    """A step below the one before it, as where pages were given back, takes no room."""
    bars, start = [], 0
    for index, step in enumerate(steps):
        end = max(step, start)
        width = 100 * (scale.fraction(end) - scale.fraction(start))
        left, top = scale.percent(start), (_HEIGHT - _BAR) // 2
        bars.append(element("rect", x=left, y=top, width=f"{width:.2f}%", height=_BAR, class_=f"m{index}"))
        start = end
    return bars
