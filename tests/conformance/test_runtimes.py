"""What every target must do with files of every backend, whoever runs them there.

A new kind of target passes this suite before anything else; it is one more entry of ``PLACES``.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import psutil
import pytest

import ashore
from ashore import registry
from ashore.errors import ChecksumMismatch, EngineCrashed, ExecutionError, InputMismatch
from ashore.interfaces import Session, TellsPace
from ashore.types.artifact import Artifact
from edges import affine_inputs, affine_manifest
from programs import require_programs

SUFFIXES = {"executorch": ".pte", "litert": ".tflite"}
PLACES = {
    "host": "native",
    "host-python": "python",
    "emulator:cortex-a53": "native",
    "emulator:cortex-a76": "native",
    "adb": "native",
}
"""Place -> the runner that models meet there."""
_BUILD = {"cmake": "cmake", "make": "make"}


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a target that is ready; where programs are missing, tests are skipped, or fail in CI."""
    name: str = request.param
    monkeypatch.setenv("ASHORE_RUNNER", PLACES[name])
    if name == "adb":
        return f"adb:{request.getfixturevalue('phone').serial}"
    if name == "host":
        require_programs(**{"g++": "g++"}, **_BUILD)
    if name.startswith("emulator"):
        cross = {"aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu", "qemu-aarch64": "qemu-user"}
        require_programs(**cross, **_BUILD)
    return name.removesuffix("-python")


@pytest.fixture(params=SUFFIXES)
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def affine(tiny_files: Path, backend: str) -> Artifact:
    """Two inputs and three outputs of two element types, with a manifest that names them."""
    file = tiny_files / f"affine{SUFFIXES[backend]}"
    manifest = affine_manifest(backend)
    digest = sha256(file.read_bytes()).hexdigest()
    return Artifact(file, backend, replace(manifest, file=replace(manifest.file, sha256=digest)))


@pytest.fixture
def session(affine: Artifact, place: str) -> Iterator[Session]:
    with registry.get_target(place).open(affine, timeout_s=60.0) as opened:
        yield opened


def expected(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs 1 and 2; those of the first are random weights'."""
    return {"output_1": given["apple"] + 1, "output_2": given["zebra"] - 1}


def test_a_session_from_beginning_to_end(session: Session, backend: str) -> None:
    given = affine_inputs("int64" if backend == "executorch" else "int32")

    results = session.run(given)

    assert list(results) == ["output_0", "output_1", "output_2"]
    for name, array in expected(given).items():
        np.testing.assert_array_equal(results[name], array)
        assert results[name].dtype == array.dtype
    assert results["output_0"].shape == (2, 3) and np.isfinite(results["output_0"]).all()
    assert session.last_run_ns > 0 and session.load_ns > 0
    assert session.engine_version[0].isdigit()

    doubled = session.run(given | {"zebra": given["zebra"] * 2})
    np.testing.assert_array_equal(doubled["output_2"], given["zebra"] * 2 - 1)
    np.testing.assert_array_equal(results["output_2"], given["zebra"] - 1)  # belongs to the caller

    times_ns = session.repeat(5)
    assert len(times_ns) == 5 and min(times_ns) > 0
    again = session.run(given)
    np.testing.assert_array_equal(again["output_0"], results["output_0"])
    assert 0 < session.baseline.rss_bytes <= session.memory().peak_bytes
    assert session.loaded.method

    session.close()
    session.close()
    with pytest.raises(ExecutionError, match="this session is over: it was closed"):
        session.run(given)
    if session.pid is not None:
        assert not psutil.pid_exists(session.pid)
    assert session.runner == ("python" if os.environ["ASHORE_RUNNER"] == "python" else "native")


def test_inputs_are_checked_before_they_are_sent(session: Session, backend: str) -> None:
    indices = "int64" if backend == "executorch" else "int32"
    given = affine_inputs(indices)
    wrong = {
        "unknown input 'lion'; missing input 'zebra'": {"lion": given["zebra"], "apple": given["apple"]},
        "input 'zebra' is float64; expected float32": given | {"zebra": given["zebra"].astype(np.float64)},
        "input 'zebra' has shape [4, 2]; expected [2, 4]": given | {"zebra": given["zebra"].T},
    }
    for message, inputs in wrong.items():
        with pytest.raises(InputMismatch) as caught:
            session.run(inputs)
        assert caught.value.message == message
    assert session.last_run_ns == 0
    np.testing.assert_array_equal(session.run(given)["output_1"], given["apple"] + 1)


def test_a_bare_file_runs_at_every_size_of_a_dynamic_dimension(tiny_files: Path, place: str, backend: str) -> None:
    with ashore.open_session(tiny_files / f"sum{SUFFIXES[backend]}", target=place) as session:
        first, second = (spec.name for spec in session.inputs)
        for rows in (3, 64, 1):
            x = np.random.default_rng(rows).standard_normal((rows, 4), dtype=np.float32)
            (result,) = session.run({first: x, second: 2 * x}).values()
            np.testing.assert_allclose(result, 3 * x, rtol=1e-6)
        with pytest.raises(ExecutionError, match=f"running sum{SUFFIXES[backend]} with {backend} failed: "):
            session.run({first: np.ones((2, 4), np.float32), second: np.ones((3, 4), np.float32)})
        (result,) = session.run({first: x, second: x}).values()
        np.testing.assert_array_equal(result, 2 * x)


def test_what_is_no_model_is_refused(tmp_path: Path, place: str, backend: str) -> None:
    file = tmp_path / f"letter{SUFFIXES[backend]}"
    file.write_text("Dear engine, " * 400)
    with pytest.raises(ExecutionError) as caught:
        ashore.open_session(file, target=place, timeout_s=60.0)
    assert caught.value.message.startswith(f"loading {file.name} with {backend} failed: ")
    assert caught.value.hint
    assert not _runners()


def test_a_file_that_changed_since_it_was_checked_is_not_loaded(affine: Artifact, tmp_path: Path, place: str) -> None:
    content = affine.file.read_bytes()
    file = tmp_path / affine.file.name
    file.write_bytes(content + b"more")
    assert affine.manifest is not None
    # Not the hash of the tiny file itself, which a phone may have from another test.
    promised = sha256(content + b"less").hexdigest()
    manifest = replace(affine.manifest, file=replace(affine.manifest.file, sha256=promised))
    with pytest.raises(ChecksumMismatch) as caught:
        registry.get_target(place).open(replace(affine, file=file, manifest=manifest), timeout_s=60.0)
    assert promised[:12] in caught.value.message


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_crash_stays_where_it_happened(session: Session, backend: str, number: signal.Signals) -> None:
    if session.pid is None:
        pytest.skip("the process is elsewhere; tests of that target crash it in their own way")
    given = affine_inputs("int64" if backend == "executorch" else "int32")
    session.run(given)
    os.kill(session.pid, number)
    with pytest.raises(EngineCrashed) as caught:
        for _ in range(1000):
            session.run(given)
            time.sleep(0.01)
    assert f"was killed by {number.name} while running affine{SUFFIXES[backend]} with {backend}" in caught.value.message
    assert not psutil.pid_exists(session.pid)


def test_a_hang_ends_at_the_limit(affine: Artifact, place: str, backend: str) -> None:
    with registry.get_target(place).open(affine, timeout_s=5.0) as session:
        if session.pid is None:
            pytest.skip("the process is elsewhere; tests of that target stop it in their own way")
        os.kill(session.pid, signal.SIGSTOP)
        given = affine_inputs("int64" if backend == "executorch" else "int32")
        with pytest.raises(ExecutionError, match="took longer than the limit of 5 s"):
            session.run(given)
        assert not psutil.pid_exists(session.pid)


def _runners() -> list[psutil.Process]:
    """Children of this process that run models."""
    return [each for each in psutil.Process().children() if "--threads" in each.cmdline()]


def test_sessions_are_side_by_side(affine: Artifact, session: Session, place: str, backend: str) -> None:
    given = affine_inputs("int64" if backend == "executorch" else "int32")
    with registry.get_target(place).open(affine, threads=2, timeout_s=60.0) as other:
        np.testing.assert_array_equal(other.run(given)["output_0"], session.run(given)["output_0"])
    np.testing.assert_array_equal(session.run(given)["output_1"], given["apple"] + 1)


def test_operators_are_timed_or_the_reason_is_given(affine: Artifact, place: str, backend: str) -> None:
    with registry.get_target(place).open(affine, count_ops=True, timeout_s=60.0) as session:
        session.run(affine_inputs("int64" if backend == "executorch" else "int32"))
        if session.runner == "python":
            with pytest.raises(ExecutionError, match="the Python runner does not time operators"):
                session.ops()
            return
        times = session.ops()
    assert times.runs == 1
    assert times.ops and all(op.calls > 0 and op.ns > 0 and op.name for op in times.ops)


def test_the_pace_of_the_machine_is_told_or_the_reason_is_given(affine: Artifact, place: str) -> None:
    with registry.get_target(place).open(affine, timeout_s=60.0) as session:
        assert isinstance(session, TellsPace)
        if session.runner == "python":
            with pytest.raises(ExecutionError, match="the Python runner does not tell the machine's pace"):
                session.pace()
            assert session.memory().rss_bytes > 0, "it goes on"
            return
        assert min(session.pace().rounds_ns) > 0
