"""The host target when things go wrong: the caller's process lives, learns why, and nothing stays behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from ashore.errors import AshoreError, EngineCrashed, ExecutionError, TargetUnavailable
from ashore.types.artifact import Artifact
from ashore_runtimes.host import HostRuntime
from ashore_runtimes.session.session import RunnerSession
from commands import Command
from programs import require_programs

HOST = HostRuntime().target("host")
ONES = np.ones((2, 3), np.int8)


@pytest.fixture(params=["native", "python"])
def runner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The runner of the test's sessions, and of those of the programs that it starts."""
    name: str = request.param
    if name == "native":
        require_programs(cmake="cmake", make="make", **{"g++": "g++"})
    monkeypatch.setenv("ASHORE_RUNNER", name)
    return name


@pytest.fixture
def turn(tiny_files: Path, runner: str) -> Artifact:
    del runner
    return Artifact(tiny_files / "turn.tflite", "litert")


@pytest.fixture
def session(turn: Artifact) -> Iterator[RunnerSession]:
    opened = HOST.open(turn, timeout_s=20.0)
    assert isinstance(opened, RunnerSession)
    yield opened
    opened.close()


def run(session: RunnerSession) -> np.ndarray:
    return session.run({session.inputs[0].name: ONES})["output_0"]


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether ``condition`` comes true before patience ends."""
    for _ in range(300):
        if condition():
            return True
        time.sleep(0.1)
    return False


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def signal_soon(pid: int, number: signal.Signals) -> threading.Timer:
    timer = threading.Timer(0.3, os.kill, (pid, number))
    timer.start()
    return timer


def test_a_child_killed_while_it_runs_is_reported_with_its_signal(session: RunnerSession) -> None:
    os.kill(session.pid, signal.SIGSTOP)  # so that the run is still under way when the kill comes
    timer = signal_soon(session.pid, signal.SIGKILL)
    with pytest.raises(EngineCrashed) as caught:
        run(session)
    timer.join()

    assert caught.value.message == "the engine's process was killed by SIGKILL while running turn.tflite with litert"
    assert "memory" in caught.value.hint
    with pytest.raises(ExecutionError, match=r"this session is over: the engine's process was killed by SIGKILL"):
        run(session)


def test_a_child_that_died_between_runs_is_noticed_by_the_next(session: RunnerSession) -> None:
    run(session)
    os.kill(session.pid, signal.SIGSEGV)
    assert eventually(lambda: not alive(session.pid))
    with pytest.raises(EngineCrashed, match=r"was killed by SIGSEGV while running turn\.tflite"):
        run(session)


def test_a_hung_child_is_ended_at_the_limit(turn: Artifact) -> None:
    with HOST.open(turn, timeout_s=1.0) as session:
        os.kill(session.pid, signal.SIGSTOP)
        with pytest.raises(
            ExecutionError, match=r"running turn\.tflite .* took longer than the limit of 1 s"
        ) as caught:
            run(session)
        assert caught.value.hint == "raise timeout_s (--timeout) if it only needs more time"
        assert not psutil.pid_exists(session.pid)


def test_a_request_that_nobody_takes_ends_at_the_limit(turn: Artifact) -> None:
    with HOST.open(turn, timeout_s=1.0) as session:
        assert isinstance(session, RunnerSession)
        run(session)
        os.kill(session.pid, signal.SIGSTOP)
        requests = session._child.process.stdin
        assert requests is not None
        while requests.write(bytes(1 << 12)) is not None:  # until the pipe is full
            pass
        with pytest.raises(ExecutionError, match=r"running turn\.tflite .* took longer than the limit of 1 s"):
            run(session)


def test_the_command_takes_the_limit(turn: Artifact, command: Command, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=ONES)
    words = ("run", turn.file, "--inputs", tmp_path / "x.npz", "--output", tmp_path / "y.npz", "--timeout")
    outcome = command(*words, "0")
    assert outcome.code == 2 and "timeout_s is 0" in outcome.err
    assert not (tmp_path / "y.npz").exists()


def test_a_child_that_answers_late_but_in_time_is_waited_for(session: RunnerSession) -> None:
    os.kill(session.pid, signal.SIGSTOP)
    timer = signal_soon(session.pid, signal.SIGCONT)
    np.testing.assert_array_equal(run(session), ONES.T)
    timer.join()


def test_close_ends_even_a_stopped_child_and_may_be_repeated(session: RunnerSession) -> None:
    os.kill(session.pid, signal.SIGSTOP)
    session.close()
    assert not psutil.pid_exists(session.pid)
    session.close()
    with pytest.raises(ExecutionError) as caught:
        run(session)
    assert caught.value.message == "this session is over: it was closed"
    assert caught.value.hint == "open a new session"


def test_a_forgotten_session_frees_its_process(turn: Artifact) -> None:
    forgotten = HOST.open(turn)
    assert isinstance(forgotten, RunnerSession)
    run(forgotten)
    pid = forgotten.pid
    del forgotten
    gc.collect()
    assert not psutil.pid_exists(pid)


def test_sessions_give_back_every_descriptor(turn: Artifact, tmp_path: Path) -> None:
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(b"no model at all")
    here = psutil.Process()
    before = here.num_fds()
    for _ in range(3):
        with HOST.open(turn) as opened:
            run(opened)  # type: ignore[arg-type]  # the host's sessions are RunnerSessions
        with pytest.raises(ExecutionError):
            HOST.open(Artifact(bad, "litert"))
    assert here.num_fds() == before
    assert not here.children()


def test_a_python_that_cannot_start_is_named(tiny_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = psutil.Process().num_fds()
    monkeypatch.setenv("ASHORE_RUNNER", "python")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(TargetUnavailable, match="cannot start '/nowhere/python'"):
        HOST.open(Artifact(tiny_files / "turn.tflite", "litert"))
    assert psutil.Process().num_fds() == before


def test_an_interrupt_of_the_terminal_does_not_reach_the_child(session: RunnerSession) -> None:
    os.kill(session.pid, signal.SIGINT)
    np.testing.assert_array_equal(run(session), ONES.T)
    assert os.getpgid(session.pid) != os.getpgid(0)


PROGRAM = """
import os, signal, sys
from pathlib import Path
import numpy as np
from ashore.types.artifact import Artifact
from ashore_runtimes.host import HostRuntime

session = HostRuntime().target("host").open(Artifact(Path(sys.argv[1]), "litert"))
inputs = {session.inputs[0].name: np.ones((2, 3), np.int8)}
session.run(inputs)
"""
REPORT = "print(session.pid, flush=True)\n"
HANG = "os.kill(session.pid, signal.SIGSTOP)\n" + REPORT + "session.run(inputs)\n"


def start(script: str, file: Path) -> tuple[subprocess.Popen[str], int]:
    """A program that uses a session, and the process of its engine."""
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM + script, str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    line = program.stdout.readline()
    assert line, program.communicate()[1]
    return program, int(line)


def test_a_child_ends_with_its_parent_even_when_that_is_killed(turn: Artifact) -> None:
    program, engine_pid = start(REPORT + "signal.pause()", turn.file)
    assert alive(engine_pid)
    program.kill()
    program.communicate()
    assert eventually(lambda: not alive(engine_pid))


def test_ctrl_c_during_a_run_leaves_no_child(turn: Artifact) -> None:
    program, engine_pid = start(HANG, turn.file)
    program.send_signal(signal.SIGINT)
    errors = program.communicate(timeout=30)[1]
    assert "KeyboardInterrupt" in errors
    assert not psutil.pid_exists(engine_pid)


def test_a_session_that_was_interrupted_says_so(turn: Artifact) -> None:
    script = (
        REPORT
        + """
import threading
os.kill(session.pid, signal.SIGSTOP)
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    session.run(inputs)
except KeyboardInterrupt:
    session.run(inputs)
"""
    )
    program, _ = start(script, turn.file)
    errors = program.communicate(timeout=30)[1]
    assert "this session is over: it was interrupted while running turn.tflite" in errors


def test_a_program_that_forgets_to_close_ends_in_silence(turn: Artifact) -> None:
    program, engine_pid = start(REPORT, turn.file)
    errors = program.communicate(timeout=30)[1]
    assert (program.returncode, errors) == (0, "")
    assert not psutil.pid_exists(engine_pid)


def test_a_forked_process_does_not_end_the_session_of_its_parent(turn: Artifact) -> None:
    script = """
pid = os.fork()
if pid == 0:
    sys.exit(0)  # runs the finalizers of what it inherited
assert os.waitpid(pid, 0)[1] == 0
session.run(inputs)
"""
    program, _ = start(REPORT + script, turn.file)
    errors = program.communicate(timeout=30)[1]
    assert (program.returncode, errors) == (0, "")


def damaged(content: bytes, count: int) -> Iterator[bytes]:
    """``content`` cut short, and with single bytes flipped, at places spread over all of it."""
    yield b""
    for part in range(1, 4):
        yield content[: len(content) * part // 4]
    for step in range(count):
        place = len(content) * step // count
        yield content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


@pytest.mark.parametrize(
    ("name", "backend", "runner", "flips"),
    [
        ("affine.tflite", "litert", "native", 40),
        ("affine.pte", "executorch", "native", 40),
        ("affine.tflite", "litert", "python", 4),
        ("affine.pte", "executorch", "python", 1),
    ],
    indirect=["runner"],
)
def test_a_damaged_file_never_harms_the_caller(
    tiny_files: Path, tmp_path: Path, name: str, backend: str, runner: str, flips: int
) -> None:
    del runner
    refused = 0
    for index, content in enumerate(damaged((tiny_files / name).read_bytes(), flips)):
        file = tmp_path / f"{index}-{name}"
        file.write_bytes(content)
        try:
            with HOST.open(Artifact(file, backend), timeout_s=60.0) as session:
                session.run({spec.name: np.zeros(spec.shape, spec.dtype) for spec in session.inputs})
        except AshoreError as error:
            refused += 1
            assert file.name in str(error) and error.hint
    assert refused >= 4
    assert not psutil.Process().children()


@pytest.mark.parametrize("backend", ["executorch", "litert"])
def test_what_is_no_model_is_refused_in_the_engines_words(tmp_path: Path, backend: str) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("Dear engine, " * 400)
    with pytest.raises(ExecutionError, match=rf"loading letter\.txt with {backend} failed: .+"):
        HOST.open(Artifact(file, backend))
