"""The library that asks a runner for Python, on plain pipes: what it brings, and what it leaves to its caller."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from ashore_runtimes.runner.native_build import TURN, host_build
from ashore_runtimes.session.turn import NativeTurn

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the native runner is built on Linux only")
HOURS_S = 1e4


def nothing() -> None: ...


class Pipes:
    """Both pipes of a conversation, with the runner's ends for the test to play the runner."""

    def __init__(self) -> None:
        self.requests, requests_in = os.pipe()
        answers_out, self.answers = os.pipe()
        os.set_blocking(requests_in, False)
        self.ends = [self.requests, requests_in, answers_out, self.answers]
        self.turn = NativeTurn(host_build().folder / TURN, requests_in, answers_out)

    def close(self, *ends: int) -> None:
        for end in ends or tuple(self.ends):
            os.close(end)
            self.ends.remove(end)


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    both = Pipes()
    yield both
    both.close()


@pytest.mark.parametrize("due_s", [0.0, 0.001, HOURS_S])
def test_an_answer_is_read_when_it_comes(pipes: Pipes, due_s: float) -> None:
    os.write(pipes.answers, b"answer")
    assert pipes.turn.take(b"request", due_s, nothing) == b"answer"
    assert os.read(pipes.requests, 100) == b"request"


def test_memory_of_inputs_is_left_as_it_is(pipes: Pipes) -> None:
    """Even where there is none any more."""
    memory = np.arange(100_000, dtype=np.int64)
    for address, size_bytes in ((memory.ctypes.data, memory.nbytes), (4096, 1 << 20), (4096, 1 << 40)):
        pipes.turn.inputs_at(address, size_bytes)
        assert pipes.turn.take(b"request", 0.0, nothing) == b""
    np.testing.assert_array_equal(memory, np.arange(100_000))


def test_a_caller_rehearses_while_the_answer_is_about_to_come(pipes: Pipes) -> None:
    """However late it is by then: an answer that has come is read."""
    assert pipes.turn.take(b"request", 0.01, lambda: os.write(pipes.answers, b"answer")) == b"answer"


def test_a_caller_whose_answer_is_there_rehearses_nothing(pipes: Pipes) -> None:
    os.write(pipes.answers, b"answer")
    assert pipes.turn.take(b"request", HOURS_S, pytest.fail) == b"answer"


def test_an_answer_long_before_it_is_due_ends_the_wait(pipes: Pipes) -> None:
    runner = threading.Timer(0.05, os.write, (pipes.answers, b"answer"))
    runner.start()
    assert pipes.turn.take(b"request", HOURS_S, nothing) == b"answer"
    runner.join()


@pytest.mark.parametrize("due_s", [0.0, 0.003])
def test_a_late_answer_is_left_to_a_sleeping_reader(pipes: Pipes, due_s: float) -> None:
    assert pipes.turn.take(b"request", due_s, nothing) == b""
    assert os.read(pipes.requests, 100) == b"request"


def test_only_the_beginning_of_a_long_answer_is_read(pipes: Pipes) -> None:
    os.write(pipes.answers, bytes(10_000))
    begun = pipes.turn.take(b"request", 1.0, nothing)
    assert begun is not None and 0 < len(begun) < 10_000
    assert len(os.read(pipes.ends[2], 10_000)) == 10_000 - len(begun)


def test_a_request_longer_than_a_pipe_takes_whole_is_not_sent(pipes: Pipes) -> None:
    assert pipes.turn.take(bytes(5000), 0.0, nothing) is None
    os.set_blocking(pipes.requests, False)
    with pytest.raises(BlockingIOError):
        os.read(pipes.requests, 1)


def test_a_runner_that_does_not_listen_is_left_to_a_patient_writer(pipes: Pipes) -> None:
    os.write(pipes.ends[1], bytes(fcntl.fcntl(pipes.ends[1], fcntl.F_GETPIPE_SZ)))
    assert pipes.turn.take(b"request", HOURS_S, nothing) is None


def test_a_runner_that_is_gone_is_noticed(pipes: Pipes) -> None:
    pipes.close(pipes.answers)
    with pytest.raises(EOFError):
        pipes.turn.take(b"request", HOURS_S, nothing)
    pipes.close(pipes.requests)
    with pytest.raises(BrokenPipeError):
        pipes.turn.take(b"request", HOURS_S, nothing)


def test_ctrl_c_ends_the_wait(pipes: Pipes) -> None:
    main = threading.get_ident()
    interrupt = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        pipes.turn.take(b"request", HOURS_S, nothing)
    interrupt.join()


def test_others_run_while_one_waits(pipes: Pipes) -> None:
    """The answer comes from a thread of this very interpreter: a call that kept it would wait for ever."""
    asked = threading.Thread(target=lambda: os.write(pipes.answers, os.read(pipes.requests, 100).upper()))
    asked.start()
    assert pipes.turn.take(b"request", HOURS_S, nothing) == b"REQUEST"
    asked.join()
