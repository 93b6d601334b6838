"""PyTorch's answers on evaluation samples, worked out by a process of its own while files are made."""

from __future__ import annotations

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
import torch

import ashore
import fakes as fake_plug_ins
from ashore import ModelSource, UsageError
from ashore.sources.prepare import PreparedSource, prepare
from ashore.sources.threads import on_threads

SAMPLES = [np.full((1, 2), index, np.float32) for index in range(8)]
PARENT = os.getpid()


class Slow(torch.nn.Module):
    """Slow enough for a process of its own. Tells who answers, at how many threads.

    ``trap`` is called for the sixth sample.
    """

    def __init__(self, trap: Callable[[], None] = lambda: None, sleep_s: float = 0.1) -> None:
        super().__init__()
        self.trap, self.sleep_s = trap, sleep_s

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        time.sleep(self.sleep_s)
        if x[0, 0] == 5:
            self.trap()
        return torch.tensor([[os.getpid(), torch.get_num_threads()]]), x * 2


def slow(trap: Callable[[], None] = lambda: None, sleep_s: float = 0.1) -> PreparedSource:
    return prepare(ModelSource(Slow(trap, sleep_s), (torch.ones(1, 2),), "slow", evaluation=SAMPLES))


@pytest.fixture(autouse=True)
def clean_ends() -> Iterator[None]:
    """Whatever a test does, no process is left, and torch has the threads it had."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert not psutil.Process().children()
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})


def wait_for_the_process() -> None:
    """Until it has ended, which is left for ashore to notice."""
    (process,) = psutil.Process().children()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def answerers(prepared: PreparedSource) -> list[int]:
    """Process ids, where all answers are right."""
    answers = prepared.reference
    for sample, answer in zip(SAMPLES, answers, strict=True):
        np.testing.assert_array_equal(answer["output_1"], sample * 2)
    return [int(answer["output_0"][0, 0]) for answer in answers]


def test_another_process_answers_at_one_thread_all_but_the_first_sample() -> None:
    prepared = slow()
    with prepared.reference_ahead():
        assert torch.get_num_threads() == 1, "a core is left to the process"
        wait_for_the_process()
        first, *others = answerers(prepared)
    assert first == PARENT
    assert PARENT not in others and len(set(others)) == 1
    assert {int(answer["output_0"][0, 1]) for answer in prepared.reference} == {1}


def test_threads_come_back_as_soon_as_the_process_is_seen_to_be_over() -> None:
    prepared = slow()
    with prepared.reference_ahead():
        wait_for_the_process()
        prepared.check_reference()
        assert torch.get_num_threads() == 2
        assert not psutil.Process().children()


def test_what_is_not_answered_in_time_is_answered_here() -> None:
    """At the very beginning nothing is, nor ever is by a process that hangs."""
    prepared = slow()
    with prepared.reference_ahead():
        prepared.check_reference()
        assert PARENT in answerers(prepared)[1:]


def hang() -> None:
    if os.getpid() != PARENT:
        time.sleep(600)


def die() -> None:
    if os.getpid() != PARENT:
        os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    if os.getpid() != PARENT:
        sys.exit(3)


@pytest.mark.parametrize("trap", [die, leave])
def test_a_process_that_ends_early_changes_no_answer(trap: Callable[[], None]) -> None:
    prepared = slow(trap)
    with prepared.reference_ahead():
        wait_for_the_process()
        found = answerers(prepared)
    assert PARENT not in found[1:5]
    assert found[5:] == [PARENT] * 3


def test_a_process_that_hangs_holds_nothing_up() -> None:
    prepared = slow(hang)
    with prepared.reference_ahead():
        assert answerers(prepared)[5:] == [PARENT] * 3


def refuse() -> None:
    raise ValueError("no fives")


@pytest.mark.parametrize("ahead", [True, False])
def test_a_sample_on_which_the_model_fails_is_told_as_without_a_process(
    ahead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not ahead:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0})
    prepared = slow(refuse)
    with pytest.raises(UsageError) as caught, prepared.reference_ahead():
        assert ahead, "else there is no process, and the error is told before the long work"
        wait_for_the_process()
        prepared.check_reference()
    assert caught.value.message == "the model fails in PyTorch on evaluation sample 5: ValueError: no fives"
    assert caught.value.hint == "drop the sample, or give samples that the model takes"


def refuse_to_fork() -> int:
    raise BlockingIOError(11, "Resource temporarily unavailable")


@pytest.mark.parametrize("reason", ["one core", "no fork", "another system", "short work", "one sample"])
def test_where_a_process_cannot_help_all_is_answered_here_and_now(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if reason == "one core":
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0})
    elif reason == "no fork":
        monkeypatch.setattr(os, "fork", refuse_to_fork)
    elif reason == "another system":
        monkeypatch.setattr(sys, "platform", "darwin")
    prepared = slow(sleep_s=0.001 if reason == "short work" else 0.1)
    if reason == "one sample":
        prepared = prepare(ModelSource(Slow(), (torch.ones(1, 2),), evaluation=SAMPLES[:1]))
    with prepared.reference_ahead():
        assert not psutil.Process().children()
        assert torch.get_num_threads() == 2
        assert {int(answer["output_0"][0, 0]) for answer in prepared.reference} == {PARENT}


class Convolution(torch.nn.Module):
    """Of a size that torch spreads over threads."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 32, 3), torch.nn.ReLU(), torch.nn.Conv2d(32, 32, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.1)
        return self.layers(x).softmax(1)


def test_convolutions_work_where_the_parents_threads_do_not_exist() -> None:
    """Another thread of Python's is at work too, which Python 3.12 warns of."""
    generator = np.random.default_rng(0)
    samples = [generator.standard_normal((1, 3, 64, 64)).astype(np.float32) for _ in range(8)]
    prepared = prepare(ModelSource(Convolution(), (torch.ones(1, 3, 64, 64),), evaluation=samples))
    done = threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    try:
        with prepared.reference_ahead():
            wait_for_the_process()
            got = prepared.reference
    finally:
        done.set()
        other.join()
    with on_threads(1):
        expected = prepared.answers(prepared.evaluation)
    for want, have in zip(expected, got, strict=True):
        np.testing.assert_array_equal(want["output"], have["output"])


def test_a_conversion_is_judged_by_those_answers(fakes: dict, tmp_path: Path) -> None:
    del fakes
    source = ModelSource(Convolution(), (torch.ones(1, 3, 8, 8),), "net")
    (artifact,) = ashore.convert(source, to=["fake"], output=tmp_path)
    assert ashore.verify(artifact).identical


def test_ctrl_c_leaves_no_process(fakes: dict, tmp_path: Path) -> None:
    fakes["fake"].raises = KeyboardInterrupt()
    source = ModelSource(Slow(hang), (torch.ones(1, 2),), "net", evaluation=SAMPLES)
    with pytest.raises(KeyboardInterrupt):
        ashore.convert(source, to=["fake"], output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


WARNED = """
import os, time, warnings, torch
from ashore import ModelSource
from ashore.sources.prepare import prepare
class Slow(torch.nn.Module):
    def forward(self, x):
        time.sleep(0.2)
        return x * 2
os.register_at_fork(before=lambda: warnings.warn("forked beside threads", RuntimeWarning))
prepared = prepare(ModelSource(Slow(), (torch.ones(1, 2),), evaluation=torch.ones(8, 1, 2)))
with prepared.reference_ahead():
    print(len(prepared.reference))
"""


def test_libraries_that_warn_of_forks_are_not_heard() -> None:
    """JAX does, which converters load: the copy has nothing to do with its threads."""
    done = subprocess.run([sys.executable, "-c", WARNED], capture_output=True, text=True, timeout=120)
    assert done.stdout == "8\n" and "forked beside threads" not in done.stderr


KILLED = """
import time, torch
from ashore import ModelSource
class Slow(torch.nn.Module):
    def forward(self, x):
        time.sleep(0.5)
        return x * 2
model = ModelSource(Slow(), (torch.ones(1, 2),), evaluation=torch.ones(500, 1, 2))
"""


def test_the_process_dies_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(KILLED)
    program = [sys.executable, fake_plug_ins.__file__, "convert", "net.py:model", "--to", "fake"]
    behaviour = {"ASHORE_FAKES": '{"sleep_s": 600}'}
    parent = subprocess.Popen(program, cwd=tmp_path, env={**os.environ, **behaviour}, stderr=subprocess.PIPE, text=True)
    try:
        assert parent.stderr is not None
        assert "working\n" in iter(parent.stderr.readline, "")
        (child,) = psutil.Process(parent.pid).children()
    finally:
        parent.kill()
        parent.communicate()
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
