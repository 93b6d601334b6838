"""The runner's process against one that only uses the library: steady latency, peak memory, time to a first output."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bare_process import BareProcess, native_command, python_command
from effort import Effort
from files import Files
from processes import peak_mb_of
from runners import RUNNERS, fed, repeated
from tables import Row, Section, Target
from turns import RUNS_PER_ROUND, Contender, Turns, in_turns, medians_in_turns

_LATENCY, _MEMORY, _START = Target("{:.3f}x", 1.02), Target("{:+.1f} MB", 5.0), Target("{:.2f}x", math.inf)
_COMMANDS = {"C++": native_command, "Python": python_command}
_PAIRS = (("native", "C++"), ("native", "Python"), ("python", "Python"))
_LIKE_WITH_LIKE = (("native", "C++"), ("python", "Python"))


def sections(files: Files, effort: Effort) -> list[Section]:
    latency, memory, start = [], [], []
    for backend, precision, file in files.artifacts():
        subject = f"{backend} {precision}"
        commands = {name: make(backend, file, files.picture_file) for name, make in _COMMANDS.items()}
        latency += _latency_rows(subject, _steady(file, files, commands, effort))
        starts_ms, peaks_mb = _lives(file, files, commands, effort)
        memory += _memory_rows(subject, peaks_mb)
        start += _start_rows(subject, starts_ms)
    return [
        Section("Latency inside the runner, 1 thread", ("one inference, ms", "library", "runner"), tuple(latency)),
        Section("Peak memory, 11 inferences", ("resident MB", "library", "runner"), tuple(memory)),
        Section(
            "Cold start to the first output",
            ("ms", "library", "runner"),
            tuple(start),
            ("ashore's: open_session, which checks the file's SHA-256, and the first run; no target, figures only",),
        ),
    ]


def _steady(file: Path, files: Files, commands: dict[str, list[str]], effort: Effort) -> Turns:
    with ExitStack() as stack:
        contenders: dict[str, Contender] = {
            name: stack.enter_context(BareProcess(command)).microseconds for name, command in commands.items()
        }
        for runner in RUNNERS:
            contenders[runner] = repeated(stack.enter_context(fed(runner, file, files)))
        return medians_in_turns(contenders, effort.rounds)


def _lives(file: Path, files: Files, commands: dict[str, list[str]], effort: Effort) -> tuple[Turns, Turns]:
    """Of fresh processes: milliseconds to the first output, and peak MB after ten more runs."""
    peaks_mb: dict[str, list[float]] = {name: [] for name in (*commands, *RUNNERS)}

    def of_library(name: str) -> float:
        begin = time.perf_counter()
        with BareProcess(commands[name]) as process:
            start_ms = 1000 * (time.perf_counter() - begin)
            process.microseconds(RUNS_PER_ROUND)
            peaks_mb[name].append(peak_mb_of(process.pid))
        return start_ms

    def of_runner(name: str) -> float:
        begin = time.perf_counter()
        with fed(name, file, files) as session:
            start_ms = 1000 * (time.perf_counter() - begin)
            session.repeat(RUNS_PER_ROUND)
            assert session.pid is not None  # it runs on this machine
            peaks_mb[name].append(peak_mb_of(session.pid))
        return start_ms

    contenders = {name: partial(of_library, name) for name in commands}
    contenders |= {name: partial(of_runner, name) for name in RUNNERS}
    return in_turns(contenders, effort.starts), Turns(peaks_mb)


def _latency_rows(subject: str, turns: Turns) -> list[Row]:
    return [
        Row(
            _name(subject, ours, theirs),
            f"{turns.median(theirs) / 1000:.3f}",
            f"{turns.median(ours) / 1000:.3f}",
            turns.ratio(ours, theirs),
            _LATENCY,
        )
        for ours, theirs in _PAIRS
    ]


def _memory_rows(subject: str, turns: Turns) -> list[Row]:
    return [
        Row(
            _name(subject, ours, theirs),
            f"{turns.median(theirs):.1f}",
            f"{turns.median(ours):.1f}",
            turns.difference(ours, theirs),
            _MEMORY,
        )
        for ours, theirs in _LIKE_WITH_LIKE
    ]


def _start_rows(subject: str, turns: Turns) -> list[Row]:
    return [
        Row(
            _name(subject, ours, theirs),
            f"{turns.median(theirs):.0f}",
            f"{turns.median(ours):.0f}",
            turns.ratio(ours, theirs),
            _START,
        )
        for ours, theirs in _LIKE_WITH_LIKE
    ]


def _name(subject: str, ours: str, theirs: str) -> str:
    return f"{subject}, {ours} runner / library in {theirs}"
