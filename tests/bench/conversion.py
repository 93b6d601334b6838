"""Conversions through ashore against the bare library calls: wall time and peak memory of the whole command."""

from __future__ import annotations

from effort import Effort
from files import BACKENDS, PRECISIONS, Files, bare_command, convert_command
from processes import Cost, cost_of, median_peak_mb
from tables import Row, Section, Target
from turns import estimate, in_turns

_TARGET = Target("{:.2f}x", 1.15)


def sections(files: Files, effort: Effort) -> list[Section]:
    rows = [row for backend in BACKENDS for precision in PRECISIONS for row in _rows(files, effort, backend, precision)]
    title = "Conversion of MobileNetV2 (ashore's is judged on 200 photographs too)"
    return [Section(title, ("conversion", "library", "ashore"), tuple(rows))]


def _rows(files: Files, effort: Effort, backend: str, precision: str) -> list[Row]:
    commands = {
        "library": bare_command(backend, precision, files.folder),
        "ashore": convert_command(backend, precision, files.folder / "out"),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in commands}

    def wall_s(name: str) -> float:
        costs[name].append(cost_of(commands[name]))
        return costs[name][-1].wall_s

    turns = in_turns({name: lambda name=name: wall_s(name) for name in commands}, effort.conversions)
    theirs_mb, ours_mb = (median_peak_mb(costs[name]) for name in commands)
    peaks = [ours.peak_mb / theirs.peak_mb for ours, theirs in zip(costs["ashore"], costs["library"], strict=True)]
    subject = f"{backend} {precision}"
    seconds = [f"{turns.median(name):.1f} s" for name in commands]
    return [
        Row(f"{subject}, wall time", *seconds, turns.ratio("ashore", "library"), _TARGET),
        Row(f"{subject}, peak memory", f"{theirs_mb:.0f} MB", f"{ours_mb:.0f} MB", estimate(peaks), _TARGET),
    ]
