"""Look out for an answer that is about to come, so that it finds its reader awake.

To wake a sleeping process takes the system 50 to 100 µs, much of what a run through another process costs. A reader
that knows about when the answer comes sleeps until shortly before, and then looks again and again, for a bounded time.
It does so only on a core that no engine of this process needs.
"""

from __future__ import annotations

import select
import threading
import time

from ashore_runtimes.machine import usable_cores

_LEAD_S = 300e-6
"""Awake this long before the answer is due, since runs differ by about as much and sleep ends late."""
_PATIENCE_S = 300e-6
"""Back to sleep this long after it was due."""


class Cores:
    """How many of this machine's cores the engines of this process keep busy."""

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._busy = 0
        self._lock = threading.Lock()

    @property
    def one_is_free(self) -> bool:
        return self._busy < self._cores

    def take(self, threads: int) -> None:
        with self._lock:
            self._busy += threads

    def give_back(self, threads: int) -> None:
        with self._lock:
            self._busy -= threads


CORES = Cores(usable_cores())


def watch(fd: int, due_s: float, cores: Cores = CORES) -> None:
    """Return when ``fd`` can be read, or shortly after ``due_s`` from now, whichever is first.

    Returns at once where every core is taken.
    """
    if not cores.one_is_free:
        return
    due_at_s = time.monotonic() + due_s
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    _sleep(poll, due_at_s - _LEAD_S)
    while cores.one_is_free and not poll.poll(0):
        if time.monotonic() > due_at_s + _PATIENCE_S:
            return


def _sleep(poll: select.poll, until_s: float) -> None:
    """At most until then; not at all where that is less than a millisecond away, the unit of ``poll``."""
    left_s = until_s - time.monotonic()
    if left_s < 1e-3:
        return
    time.sleep(left_s % 1e-3)
    left_s = until_s - time.monotonic()
    poll.poll(max(0, round(left_s * 1e3)))  # below zero it would wait without end
