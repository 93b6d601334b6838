"""What an emulated run executes, by class of instruction."""

from __future__ import annotations

from collections.abc import Sequence

from ashore.report import drawing, figures
from ashore.report.columns import INSTRUCTIONS
from ashore.report.drawing import chart, plot, row
from ashore.report.entries import Entry, by_conditions
from ashore.report.markup import Markup, element, join
from ashore.report.scale import Scale
from ashore.types.profile import InstructionCounts

_HEIGHT, _BAR = 42, 18
_SHADES = 6
_WORDS = {
    "dot_product": "integer dot products",
    "neon": "other NEON",
    "float_fma": "float multiply-adds",
    "memory": "loads and stores",
    "other": "the rest",
}


def instructions(entries: Sequence[Entry]) -> Markup | None:
    counted = [entry for entry in entries if entry.result.instructions]
    if not counted:
        return None
    classes = list(dict.fromkeys(name for entry in counted for name in _counts(entry).by_class))
    legend = drawing.legend(
        *((f"s{index % _SHADES}", _WORDS.get(name, name.replace("_", " "))) for index, name in enumerate(classes))
    )
    panels = [_panel(conditions.title, group, classes) for conditions, group in by_conditions(counted).items()]
    return join(legend, *panels)


def _counts(entry: Entry) -> InstructionCounts:
    assert entry.result.instructions is not None
    return entry.result.instructions


def _panel(title: str, entries: Sequence[Entry], classes: Sequence[str]) -> Markup:
    scale = Scale.around(0, max(_counts(entry).per_run for entry in entries), from_zero=True)
    rows = [_row(entry, classes, scale) for entry in entries]
    return chart(title, [*rows, drawing.axis(scale, figures.axis_count, "per run")])


def _row(entry: Entry, classes: Sequence[str], scale: Scale) -> Markup:
    counts = _counts(entry)
    parts = [(name, counts.by_class.get(name, 0)) for name in classes]
    told = f"{entry.subject.label}: " + ", ".join(
        f"{figures.count(part)} {_WORDS.get(name, name)}" for name, part in parts if part
    )
    bars, start = [], 0
    for index, (_, part) in enumerate(parts):
        width = 100 * (scale.fraction(start + part) - scale.fraction(start))
        kind = f"s{index % _SHADES}"
        top = (_HEIGHT - _BAR) // 2
        bars.append(element("rect", x=scale.percent(start), y=top, width=f"{width:.2f}%", height=_BAR, class_=kind))
        start += part
    value = element("b", INSTRUCTIONS.show(counts.per_run))
    return row(
        drawing.naming(entry, _repeatable(counts)), plot(_HEIGHT, told, drawing.grid(scale, _HEIGHT), *bars), value
    )


def _repeatable(counts: InstructionCounts) -> str | None:
    if len(counts.samples) < 2 or not counts.per_run:
        return None
    spread = (max(counts.samples) - min(counts.samples)) / counts.per_run
    return "repeats within 0.001 %" if spread < 1e-5 else f"repeats within {100 * spread:.2g} %"
