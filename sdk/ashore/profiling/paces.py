"""How fast a machine was, against the best that is known of it: one that is slow but steady must not pass for quiet.

The best is learnt from the machine's own profiles, of work that is always the same and of each file that is profiled.
Each adds a line ``minute time`` to a file in ashore's cache, in minutes since 1970 and nanoseconds. Where nothing can
be read or written, the profile at hand is all that is known.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median_low

from ashore.cache import cache_folder
from ashore.errors import UsageError
from ashore.profiling.profiles import write_whole
from ashore.types.profile import Pace, ProfiledTarget, Result

_BEST_SHARE = 0.1
"""The fastest tenth of the minutes tells what the machine can do: a lucky one alone does not."""
_MINUTES = 1000
"""So many are remembered: a slow hour is few of them, and a machine that changed for good shows before long."""
_MOST_LINES = 4 * _MINUTES
_LINE = re.compile(rb"^(\d{1,12}) ([1-9]\d{0,14})\n", re.MULTILINE)

_Moments = list[tuple[int, int]]
"""(minute, time in ns), the oldest first."""


def pace_ns(pace: Pace) -> float:
    """The mean of the middle half.

    A machine that is fast and slow by turns lies in between, and a round in which another process ran does not count.
    """
    return typical_ns(pace.rounds_ns)


def typical_ns(rounds_ns: Sequence[int]) -> float:
    """As :func:`pace_ns`."""
    outside = len(rounds_ns) // 4
    return fmean(sorted(rounds_ns)[outside : len(rounds_ns) - outside])


def slowdown(pace: Pace) -> float:
    """0.08 where the machine took 8 % longer than at its best; below 0 where it was faster."""
    return pace_ns(pace) / pace.best_ns - 1.0


def slowdown_between(base: Pace | None, new: Pace | None) -> float | None:
    """0.08 where the machine took 8 % longer for ``new``; None where one does not tell, or the work was another."""
    if base is None or new is None or base.work != new.work:
        return None
    return pace_ns(new) / pace_ns(base) - 1.0


def learn_best_latency(result: Result, median_ns: float) -> int:
    """The best median in nanoseconds that the same file is known to have had on this machine, with as many threads."""
    target, threads = result.target, result.settings.threads
    work = f"{result.artifact.sha256}, {threads} threads, {target.runtime_version}, {target.runner}"
    return learn_best(target, work, [median_ns])


def learn_best(target: ProfiledTarget, work: str, times_ns: Sequence[float]) -> int:
    """The best time in ns that is known of ``work`` on this machine, after a profile that took ``times_ns``."""
    file = _file(target, work)
    # One that is typical of the profile, and of the faster half: neighbours may have come or gone meanwhile.
    moments = [*_read(file), (int(time.time()) // 60, max(1, round(median_low(times_ns))))]
    with contextlib.suppress(OSError, UsageError):
        _append(file, moments[-1:])
        if len(moments) > _MOST_LINES:  # a line that another process adds at this very moment may be lost
            write_whole(_lines(moments[-_MOST_LINES // 2 :]), file)
    return _best(moments)


def _file(target: ProfiledTarget, work: str) -> Path:
    machine = "\0".join((target.cpu, str(target.cores), target.abi, work))
    return cache_folder() / "paces" / f"{hashlib.sha256(machine.encode()).hexdigest()[:32]}.txt"


def _read(file: Path) -> _Moments:
    """Lines that are none, such as half of one where the disk was full, are passed over."""
    try:
        text = file.read_bytes()
    except OSError:
        return []
    return [(int(minute), int(time_ns)) for minute, time_ns in _LINE.findall(text)]


def _append(file: Path, moments: _Moments) -> None:
    """In one piece: lines of processes that write at once do not mix."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, _lines(moments))
    finally:
        os.close(descriptor)


def _lines(moments: _Moments) -> bytes:
    return "".join(f"{minute} {time_ns}\n" for minute, time_ns in moments).encode()


def _best(moments: _Moments) -> int:
    """Of each minute counts the best alone: a loop of profiles in a slow phase must not outvote what was before it."""
    best: dict[int, int] = {}
    for minute, time_ns in moments:
        best[minute] = min(time_ns, best.get(minute, time_ns))
    latest = sorted(best[minute] for minute in sorted(best)[-_MINUTES:])
    return latest[int(_BEST_SHARE * (len(latest) - 1))]
