"""ashore's int8 files at one thread: against those that the libraries' own defaults make, and against fp32."""

from __future__ import annotations

from bare_runtime import BARE
from effort import Effort
from files import BACKENDS, Files
from loaded import loaded
from tables import Row, Section, Target
from turns import called, medians_in_turns

_NO_SLOWER = Target("{:.3f}x", 1.02)
"""Files whose times differ by less than 2 % cannot be told apart."""

_FASTER = (
    ("mobilenet_v2", "int8", Target("{:.3f}x", 1 / 1.6)),
    ("minilm", "int8-dynamic", Target("{:.3f}x", 1 / 1.5)),
)


def sections(files: Files, effort: Effort) -> list[Section]:
    rows = tuple(_row(backend, files, effort) for backend in BACKENDS)
    floats = tuple(_beside_float(*case, backend, files, effort) for case in _FASTER for backend in BACKENDS)
    return [
        Section("Latency of ashore's int8 file against the stock recipe's", ("int8, ms", "stock", "ashore"), rows),
        Section("Latency of int8 against fp32, both by ashore", ("ms", "fp32", "int8"), floats),
    ]


def _row(backend: str, files: Files, effort: Effort) -> Row:
    paths = {"stock": files.stock(backend), "ashore": files.artifact(backend, "int8")}
    calls = {name: called(BARE[backend](path, files.picture).call) for name, path in paths.items()}
    turns = medians_in_turns(calls, effort.rounds)
    shown = [f"{turns.median(name) / 1000:.3f}" for name in paths]
    return Row(backend, *shown, turns.ratio("ashore", "stock"), _NO_SLOWER)


def _beside_float(example: str, precision: str, most: Target, backend: str, files: Files, effort: Effort) -> Row:
    paths = {word: files.artifact(backend, word, example) for word in ("fp32", precision)}
    with loaded(paths) as contenders:
        turns = medians_in_turns(contenders, effort.rounds)
    shown = [f"{turns.median(name) / 1000:.3f}" for name in paths]
    return Row(f"{example}, {backend} {precision}", *shown, turns.ratio(precision, "fp32"), most)
