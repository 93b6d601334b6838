"""How many threads eager PyTorch is fastest with, found by trying."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def fastest_threads(run: Callable[[], object]) -> Iterator[None]:
    """Inside, torch has one thread or as many as before, whichever ran ``run`` faster.

    Small models lose more to the hand-over between threads than they win, many times over on a busy machine.
    """
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(min((1, before), key=lambda threads: _timed_s(run, threads)))
        yield
    finally:
        torch.set_num_threads(before)


def _timed_s(run: Callable[[], object], threads: int) -> float:
    import torch

    torch.set_num_threads(threads)
    run()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
