"""An awaited answer is noticed when it comes, and waiting for it awake has an end."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterator

import pytest

from ashore_runtimes.session.watch import Cores, watch

_HOURS_S = 1e4
"""Far beyond the patience of any test."""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read_fd, write_fd = os.pipe()
    yield read_fd, write_fd
    os.close(read_fd)


def _readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


@pytest.mark.parametrize("due_s", [0.0, 0.01, _HOURS_S])
def test_what_is_there_already_ends_the_watch(pipe: tuple[int, int], due_s: float) -> None:
    read_fd, write_fd = pipe
    os.write(write_fd, b"x")
    watch(read_fd, due_s, Cores(2))
    os.close(write_fd)
    assert os.read(read_fd, 2) == b"x"


def test_an_answer_long_before_it_is_due_ends_the_watch(pipe: tuple[int, int]) -> None:
    read_fd, write_fd = pipe
    writer = threading.Timer(0.05, os.write, (write_fd, b"x"))
    writer.start()
    watch(read_fd, _HOURS_S, Cores(2))
    assert _readable(read_fd)
    writer.join()
    os.close(write_fd)


def test_a_closed_pipe_ends_the_watch(pipe: tuple[int, int]) -> None:
    read_fd, write_fd = pipe
    os.close(write_fd)
    watch(read_fd, _HOURS_S, Cores(2))
    assert os.read(read_fd, 1) == b""


@pytest.mark.parametrize("due_s", [0.0, 0.003])
def test_an_answer_that_does_not_come_when_it_is_due_is_left_to_a_sleeping_reader(
    pipe: tuple[int, int], due_s: float
) -> None:
    read_fd, write_fd = pipe
    watch(read_fd, due_s, Cores(2))
    assert not _readable(read_fd)
    os.close(write_fd)


def test_a_watch_that_sleeps_beyond_its_end_is_over(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a busy machine."""
    read_fd, write_fd = pipe
    slept = time.sleep
    monkeypatch.setattr("ashore_runtimes.session.watch.time.sleep", lambda seconds: slept(seconds + 0.05))
    watch(read_fd, 0.01, Cores(2))
    assert not _readable(read_fd)
    os.close(write_fd)


def test_nobody_watches_on_a_core_that_an_engine_needs(pipe: tuple[int, int]) -> None:
    read_fd, write_fd = pipe
    cores = Cores(2)
    cores.take(2)
    watch(read_fd, _HOURS_S, cores)
    assert not cores.one_is_free
    cores.give_back(2)
    assert cores.one_is_free
    os.close(write_fd)
