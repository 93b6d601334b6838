"""How many threads eager PyTorch is run with: found by trying, or settled where its numbers go into a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

_HOPELESS = 4
"""How much slower than a single thread's run even a first one on many threads is not, unless they are in trouble."""

_SMALL_MODEL = 10_000_000
"""Weights; below, one thread is about as fast as many."""


@contextmanager
def fastest_threads(run: Callable[[], object]) -> Iterator[None]:
    """Inside, torch has one thread or as many as before, whichever ran ``run`` faster.

    Small models lose more to the hand-over between threads than they win, many times over on a busy machine.
    """
    import torch

    most = torch.get_num_threads()
    with on_threads(most):
        torch.set_num_threads(_fastest(run, most))
        yield


def settled_threads(weights: int) -> AbstractContextManager[None]:
    """Inside, torch has one thread for a model of few ``weights``, else as many as before.

    Threads change the order of sums and so their last bits, which rounding makes large. Whichever is faster at the
    moment would make another file each time.
    """
    import torch

    return on_threads(1 if weights < _SMALL_MODEL else torch.get_num_threads())


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Inside, torch has ``count`` threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fastest(run: Callable[[], object], most: int) -> int:
    """1 or ``most``. Where the cores are busy, a run on all of them takes dozens of times as long: one is enough."""
    _timed_s(run, 1)
    single_s = _timed_s(run, 1)
    if most == 1 or _timed_s(run, most) > _HOPELESS * single_s:
        return 1
    return most if _timed_s(run, most) < single_s else 1


def _timed_s(run: Callable[[], object], threads: int) -> float:
    import torch

    torch.set_num_threads(threads)
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
