"""What ``Session.run`` costs a caller, beyond the inference itself.

Each call is for another frame, as in an app: just before, and not counted, this process scales 8-bit pixels to the
floats that the call takes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from bare_runtime import BARE
from effort import Effort
from files import Files
from runners import RUNNERS, fed
from tables import Row, Section, Target
from turns import RUNS_PER_ROUND, Contender, Turns, called, estimate, in_turns, medians_in_turns

from ashore.interfaces import Session
from ashore.types.tensor import Array

_SCALE = np.float32(1 / 127.5)
_OVER_LIBRARY, _OVER_RUNNER = Target("{:+.0f} µs", 150.0), Target("{:+.0f} µs", 100.0)


def sections(files: Files, effort: Effort) -> list[Section]:
    over_library, over_runner = [], []
    for backend, precision, file in files.artifacts():
        subject = f"{backend} {precision}"
        with ExitStack() as stack:
            sessions = {runner: stack.enter_context(fed(runner, file, files)) for runner in RUNNERS}
            over_library += _library_rows(subject, backend, file, files, sessions, effort)
            over_runner += [
                _runner_row(f"{subject}, {name}", each, effort, _call(each, files)) for name, each in sessions.items()
            ]
            native = sessions["native"]
            over_runner.append(_runner_row(f"{subject}, native, input_buffers", native, effort, _call_in_place(native)))
    library = "Session.run against the library in this very process, 1 thread, 224x224"
    runner = "Session.run over the time the engine itself took for that run, 602 kB of input"
    return [
        Section(library, ("one inference, µs", "library", "session"), tuple(over_library)),
        Section(runner, ("one inference, µs", "engine", "session"), tuple(over_runner)),
    ]


def _library_rows(
    subject: str, backend: str, file: Path, files: Files, sessions: dict[str, Session], effort: Effort
) -> list[Row]:
    place = files.picture.copy()
    calls = {"library": called(BARE[backend](file, place).call, _frame(place))}
    calls |= {name: _call(session, files) for name, session in sessions.items()}
    turns = medians_in_turns(calls, effort.rounds)
    return [_over_library(subject, runner, turns) for runner in sessions]


def _over_library(subject: str, runner: str, turns: Turns) -> Row:
    theirs, ours = turns.median("library"), turns.median(runner)
    figure = turns.difference(runner, "library")
    return Row(f"{subject}, {runner} runner", f"{theirs:.0f}", f"{ours:.0f}", figure, _OVER_LIBRARY)


def _runner_row(subject: str, session: Session, effort: Effort, call: Contender) -> Row:
    """Of each call, so that noise inside the engine does not count."""
    engine_us = []

    def over_us() -> float:
        over = []
        for _ in range(RUNS_PER_ROUND + 1):
            (whole_us,) = call(1)
            engine_us.append(session.last_run_ns / 1000)
            over.append(whole_us - engine_us[-1])
        return float(np.median(over[1:]))

    figure = estimate(in_turns({"over": over_us}, effort.rounds).figures["over"])
    engine = float(np.median(engine_us))
    return Row(subject, f"{engine:.0f}", f"{engine + figure.value:.0f}", figure, _OVER_RUNNER)


def _call(session: Session, files: Files) -> Contender:
    place = files.picture.copy()
    inputs = {session.inputs[0].name: place}
    return called(lambda: session.run(inputs), _frame(place))


def _call_in_place(session: Session) -> Contender:
    """The frame is written to the session's own buffers, as by a camera that knows them."""
    buffers = session.input_buffers()
    return called(lambda: session.run(buffers), _frame(buffers[session.inputs[0].name]))


def _frame(place: Array) -> Callable[[], object]:
    pixels = np.random.default_rng(0).integers(0, 256, place.shape, np.uint8)
    return lambda: np.multiply(pixels, _SCALE, out=place)
