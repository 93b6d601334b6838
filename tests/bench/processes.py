"""What a whole process costs."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PROBE = """
import resource, subprocess, sys, time
begin_s = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=2).returncode
print(time.perf_counter() - begin_s, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""A process of its own, since the peak of a process counts that of the one it was forked from."""


@dataclass(frozen=True)
class Cost:
    """Of one process with its children: wall time in s, largest resident size of one process in MB."""

    wall_s: float
    peak_mb: float


def cost_of(command: Sequence[str]) -> Cost:
    """Run a command to its end. Ends the program where it fails."""
    done = subprocess.run([sys.executable, "-c", _PROBE, *command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    wall_s, peak_kib = done.stdout.split()
    return Cost(float(wall_s), int(peak_kib) * 1024 / 1e6)


def median_peak_mb(costs: Sequence[Cost]) -> float:
    return statistics.median(cost.peak_mb for cost in costs)


def ashore_command(*words: str) -> list[str]:
    return [sys.executable, "-c", "from ashore.cli import main; main()", *words]


def peak_mb_of(pid: int) -> float:
    """Most memory that a running process was resident with so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:"))
