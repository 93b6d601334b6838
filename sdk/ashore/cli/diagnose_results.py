"""A diagnosis as a table and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ashore.cli.terminal import Terminal
from ashore.types.diagnosis import DEPARTURE_DB, Diagnosis, LayerDiagnosis

_COLUMNS = ("layer", "operator", "alone dB", "its output dB", "range", "outliers", "multiplications", "weights", "int8")


def diagnosis_fields(diagnosis: Diagnosis) -> dict[str, Any]:
    return asdict(diagnosis) | {"first_departure": diagnosis.first_departure}


def show_diagnosis(terminal: Terminal, diagnosis: Diagnosis) -> None:
    rows = [_row(layer) for layer in diagnosis.layers]
    terminal.show_table(f"{diagnosis.name} in int8 on {diagnosis.backend}, layer by layer", _COLUMNS, rows)
    terminal.show_text(
        f"all in int8: {diagnosis.int8_db:.1f} dB SQNR on {diagnosis.samples} calibration samples; "
        f"as --precision int8 does it: {diagnosis.chosen_db:.1f} dB"
    )
    worst = min(diagnosis.layers, key=lambda layer: layer.alone_db)
    terminal.show_text(f"most noise: {worst.path}, {worst.alone_db:.1f} dB as the only layer in int8")
    first = diagnosis.first_departure
    terminal.show_text(
        f"first output below {DEPARTURE_DB:g} dB: {first}"
        if first
        else f"no layer's output falls below {DEPARTURE_DB:g} dB"
    )


def _row(layer: LayerDiagnosis) -> tuple[str, ...]:
    output = layer.output
    return (
        layer.path,
        layer.operator,
        f"{layer.alone_db:.1f}",
        f"{output.sqnr_db:.1f}" if output else "",
        f"{output.low:.3g} to {output.high:.3g}" if output else "",
        f"{output.outliers:.1f}x" if output else "",
        f"{100 * layer.multiplications:.1f} %",
        f"{100 * layer.weights:.1f} %",
        "kept float" if layer.kept_float else "yes",
    )
