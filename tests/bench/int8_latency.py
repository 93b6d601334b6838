"""ashore's int8 file against the one that the library's own default makes, both in this process at one thread."""

from __future__ import annotations

from bare_runtime import BARE
from effort import Effort
from files import BACKENDS, Files
from tables import Row, Section, Target
from turns import called, medians_in_turns

_NO_SLOWER = Target("{:.3f}x", 1.02)
"""Files whose times differ by less than 2 % cannot be told apart."""


def sections(files: Files, effort: Effort) -> list[Section]:
    rows = tuple(_row(backend, files, effort) for backend in BACKENDS)
    return [Section("Latency of ashore's int8 file against the stock recipe's", ("int8, ms", "stock", "ashore"), rows)]


def _row(backend: str, files: Files, effort: Effort) -> Row:
    paths = {"stock": files.stock(backend), "ashore": files.artifact(backend, "int8")}
    calls = {name: called(BARE[backend](path, files.picture).call) for name, path in paths.items()}
    turns = medians_in_turns(calls, effort.rounds)
    shown = [f"{turns.median(name) / 1000:.3f}" for name in paths]
    return Row(backend, *shown, turns.ratio("ashore", "stock"), _NO_SLOWER)
