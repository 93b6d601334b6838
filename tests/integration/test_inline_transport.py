"""Tensors inside the frames, as for a phone, with both runners of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ashore.errors import ExecutionError
from ashore.types.artifact import Artifact
from ashore_runtimes.runner.native_build import host_build
from ashore_runtimes.runner.native_runner import native_launch
from ashore_runtimes.runner.python_runner import python_launch
from ashore_runtimes.session.session import RunnerSession
from programs import require_programs

SUFFIXES = {"executorch": ".pte", "litert": ".tflite"}
RUNNERS = [("native", "executorch"), ("native", "litert"), ("python", "litert")]

Open = Callable[[str], RunnerSession]


@pytest.fixture(params=RUNNERS, ids="-".join)
def open_inline(request: pytest.FixtureRequest, tiny_files: Path) -> Iterator[Open]:
    runner, backend = request.param
    if runner == "native":
        require_programs(cmake="cmake", make="make", **{"g++": "g++"})
        launch = replace(native_launch(host_build(), backend, 1), shared=False)
    else:
        launch = python_launch(backend, 1, shared=False)
    opened = []

    def call(name: str) -> RunnerSession:
        opened.append(RunnerSession(Artifact(tiny_files / (name + SUFFIXES[backend]), backend), launch, timeout_s=30.0))
        return opened[-1]

    yield call
    for session in opened:
        session.close()


def test_arrays_of_several_types_cross_in_frames(open_inline: Open) -> None:
    session = open_inline("affine")
    zebra, apple = session.inputs
    for step in range(3):
        given = {
            zebra.name: np.full((2, 4), step, np.float32),
            apple.name: np.arange(6, dtype=apple.dtype) + step,
        }
        results = session.run(given)
        np.testing.assert_array_equal(results["output_1"], given[apple.name] + 1)
        np.testing.assert_array_equal(results["output_2"], given[zebra.name] - 1)
    assert len(session.repeat(2)) == 2
    kept = results["output_1"].copy()
    session.run({zebra.name: np.zeros((2, 4), np.float32), apple.name: np.zeros(6, apple.dtype)})
    np.testing.assert_array_equal(results["output_1"], kept)
    results["output_1"][:] = 7  # writable


def test_sizes_may_change_from_run_to_run(open_inline: Open) -> None:
    session = open_inline("sum")
    first, second = (spec.name for spec in session.inputs)
    for rows in (64, 1, 3, 64):
        x = np.random.default_rng(rows).standard_normal((rows, 4), dtype=np.float32)
        (result,) = session.run({first: x, second: 2 * x}).values()
        np.testing.assert_allclose(result, 3 * x, rtol=1e-6)


def test_the_session_survives_what_the_engine_refuses(open_inline: Open) -> None:
    session = open_inline("sum")
    first, second = (spec.name for spec in session.inputs)
    two, three = np.ones((2, 4), np.float32), np.ones((3, 4), np.float32)
    with pytest.raises(ExecutionError, match=r"running sum\.\w+ with \w+ failed: "):
        session.run({first: two, second: three})
    np.testing.assert_array_equal(session.run({first: three, second: three})["output_0"], three + three)


def test_more_than_a_pipe_holds_crosses_too(open_inline: Open) -> None:
    session = open_inline("big")
    x = np.random.default_rng(0).standard_normal((1, 3, 448, 448), dtype=np.float32)
    for _ in range(3):
        np.testing.assert_array_equal(session.run({session.inputs[0].name: x})["output_0"], x + x)
