"""A diagnosis as a drawing: a bar a layer for its own noise, a dot for where its output stands when all is int8."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ashore.errors import UsageError
from ashore.pipeline.publishing import publish, staging
from ashore.report.markup import Markup, element, join
from ashore.report.scale import Scale
from ashore.types.diagnosis import DEPARTURE_DB, Diagnosis, LayerDiagnosis

_LABEL, _PLOT, _ROW, _HEAD = 260, 420, 16, 56
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.bar{fill:#4c78a8}.kept{fill:#b8c4d0}.dot{fill:#e45756}"
    ".limit{stroke:#e45756;stroke-dasharray:3 3}.tick{stroke:#ddd}.paper{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.tick{stroke:#444}.paper{fill:#1b1b1b}}"
)


def check_plot(path: Path) -> None:
    """Before the long work. Raises UsageError where ``path`` names another format, or cannot be written."""
    if path.suffix.lower() != ".svg":
        raise UsageError(f"{path} names no format that a diagnosis is drawn in", "end it in .svg")
    try:
        with staging(path.parent):
            pass
    except UsageError as error:
        raise UsageError(error.message, "give another place with --plot") from error


def write_plot(diagnoses: Sequence[Diagnosis], path: Path) -> None:
    """One drawing below the other. Raises UsageError where ``path`` cannot be written."""
    check_plot(path)
    with staging(path.parent) as stage:
        part = stage / path.name
        part.write_text(drawing(diagnoses), "utf-8")
        publish([part], path.parent)


def drawing(diagnoses: Sequence[Diagnosis]) -> str:
    """The text of an SVG file."""
    pieces, top = [], 0
    for diagnosis in diagnoses:
        pieces.append(element("g", _chart(diagnosis), transform=f"translate(0 {top})"))
        top += _height(diagnosis)
    paper = element("rect", width="100%", height="100%", class_="paper")
    return element(
        "svg",
        element("style", Markup(_STYLE)),
        paper,
        *pieces,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_LABEL + _PLOT + 60} {top}",
        role="img",
    )


def _height(diagnosis: Diagnosis) -> int:
    return _HEAD + _ROW * len(diagnosis.layers) + 24


def _chart(diagnosis: Diagnosis) -> Markup:
    shown = [layer.alone_db for layer in diagnosis.layers]
    scale = Scale(0.0, max(min(max(shown), 80.0), DEPARTURE_DB + 5) * 1.04)
    bottom = _HEAD + _ROW * len(diagnosis.layers)
    title = element("text", f"{diagnosis.name} in int8 on {diagnosis.backend}", x=8, y=18, font_weight="bold")
    told = "bar: SQNR in dB with this layer alone in int8 (pale: kept in float); dot: of its output with all in int8"
    ticks = [_tick(value, scale, bottom) for value in scale.ticks()]
    rows = [_row(layer, scale, _HEAD + _ROW * index) for index, layer in enumerate(diagnosis.layers)]
    limit = _x(DEPARTURE_DB, scale)
    line = element("line", x1=limit, x2=limit, y1=_HEAD, y2=bottom, class_="limit")
    return join(title, element("text", told, x=8, y=36), *ticks, *rows, line)


def _row(layer: LayerDiagnosis, scale: Scale, top: int) -> Markup:
    middle = top + _ROW / 2
    label = element("text", layer.path[-40:], x=_LABEL - 8, y=middle + 4, text_anchor="end")
    width = _x(layer.alone_db, scale) - _LABEL
    kind = "kept" if layer.kept_float else "bar"
    bar = element("rect", x=_LABEL, y=top + 2, width=width, height=_ROW - 4, class_=kind)
    output = layer.output
    dot = element("circle", cx=_x(output.sqnr_db, scale), cy=middle, r=4, class_="dot") if output else None
    tip = element("title", f"{layer.path}: {layer.alone_db:.1f} dB alone")
    return element("g", tip, label, bar, dot)


def _tick(value: float, scale: Scale, bottom: int) -> Markup:
    x = _x(value, scale)
    line = element("line", x1=x, x2=x, y1=_HEAD, y2=bottom, class_="tick")
    return join(line, element("text", f"{value:g} dB", x=x, y=bottom + 14, text_anchor="middle"))


def _x(value: float, scale: Scale) -> float:
    return _LABEL + _PLOT * scale.fraction(value)
