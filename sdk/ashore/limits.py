"""What a process that is given a model may take of this machine.

A model file of a few kilobytes can ask for all the memory there is. The process that believes it must fail, and not the
machine: an allocation beyond the limit is refused, and whoever asked is told of a model that cannot be loaded or run.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from ashore.errors import UsageError

SETTING = "ASHORE_RUNNER_MEMORY_MIB"
"""Environment variable that decides in place of the share of the free memory."""

_SHARE = 0.75
_LEAST_BYTES = 1 << 30
_CGROUP = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_limit_bytes() -> int | None:
    """Three quarters of what is available now, and 1 GiB at the least; None where the system does not say.

    Raises:
        UsageError: the environment's own choice is no number of MiB.
    """
    if chosen := os.environ.get(SETTING):
        return _chosen(chosen)
    available = _available_bytes()
    return None if available is None else max(_LEAST_BYTES, int(_SHARE * available))


def confine(pid: int, limit_bytes: int | None) -> None:
    """Limit the memory of a process just started, before it has seen a model; nothing where the system cannot.

    The limit is on private writable memory (RLIMIT_DATA): neither a mapped model file nor libraries count. Files that
    it writes, which are its log and the outputs, have the same limit, and it leaves no core file behind.
    """
    if sys.platform != "linux" or limit_bytes is None:
        return
    import resource

    with contextlib.suppress(ProcessLookupError, PermissionError):  # it may have ended already
        for which, most in (
            (resource.RLIMIT_DATA, limit_bytes),
            (resource.RLIMIT_FSIZE, limit_bytes),
            (resource.RLIMIT_CORE, 0),
        ):
            _, hard = resource.prlimit(pid, which)
            bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.prlimit(pid, which, (bound, bound))


def _chosen(word: str) -> int:
    if not word.isdecimal() or not 0 < int(word) < 1 << 40:
        raise UsageError(f"{SETTING} is {word!r}", "it is a whole number of MiB, such as 4096")
    return int(word) << 20


def _available_bytes() -> int | None:
    """What the system could give without swapping, or the container's limit where that is lower."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return min([*found, *_container_bytes()]) if found else None


def _container_bytes() -> list[int]:
    found = []
    for path in _CGROUP:
        with contextlib.suppress(OSError):
            word = path.read_text().strip()
            found += [int(word)] if word.isdecimal() else []  # "max" where there is none
    return found
