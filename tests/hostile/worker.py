"""``python worker.py ORIGINALS --target T --share S --slice BEGIN:STOP:STEP [--doors D,D]``: takes cases through doors.

A process of its own, so that its death would be noticed by somebody. One JSON object a line on stdout: before each
attempt its number and door, after it what came of it and what it left behind.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import resource
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil

from ashore.errors import EngineCrashed
from hostile.corpus import Case, all_cases
from hostile.doors import LIMIT_S, Outcome, attempt, complaint, doors_of
from hostile.original import read_originals

_LONGEST_S = 6 * LIMIT_S + 90.0
"""Of an attempt whose every part takes its whole limit, on a busy machine."""
_GROWTH_BYTES = 1 << 29
_SIGNAL = re.compile(r"was killed by (SIG\w+)")


def main() -> None:
    words = _parse()
    warnings.simplefilter("error")
    cases = all_cases(read_originals(words.originals), words.share)
    chosen = range(len(cases))[slice(*(int(word) if word else None for word in words.slice.split(":")))]
    here = psutil.Process()
    for place, number in enumerate(chosen):
        doors = doors_of(cases[number], number)
        for door in words.doors.split(",") if words.doors else doors:
            if door in doors:
                _say({"number": number, "place": place, "door": door})
                _say(_take(cases[number], door, words.target, here))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("originals", type=Path)
    parser.add_argument("--target", default="host")
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--slice", default="::")
    parser.add_argument("--doors", default="")
    return parser.parse_args()


def _take(case: Case, door: str, target: str, here: psutil.Process) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    try:
        file = case.lay_out(folder)
        fds, rss_bytes, begin_s = here.num_fds(), here.memory_info().rss, time.monotonic()
        outcome = attempt(door, file, target)
        took_s = time.monotonic() - begin_s
        told = _told(case, door, outcome, took_s)
        del outcome
        leaks = _leaks(here, fds, rss_bytes)
        left = sorted({path.name for path in Path(folder).iterdir()} - set(case.parts))
        return told | {"leaks": leaks + [f"file {name}" for name in left]}
    finally:
        shutil.rmtree(folder)


def _told(case: Case, door: str, outcome: Outcome, took_s: float) -> dict[str, Any]:
    found = complaint(case, door, outcome)
    crash = _SIGNAL.search(str(outcome.error)) if isinstance(outcome.error, EngineCrashed) else None
    return {
        "case": case.name,
        "kind": case.kind,
        "state": case.state.value,
        "outcome": outcome.word,
        "signal": crash[1] if crash else None,
        "limit": "took longer than the limit" in str(outcome.error),
        "took_s": round(took_s, 3),
        "hang": took_s > _LONGEST_S,
        "complaint": found,
        "child_peak_kib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,
    }


def _leaks(here: psutil.Process, fds: int, rss_bytes: int) -> list[str]:
    if here.num_fds() != fds:
        gc.collect()
    leaks = [f"process {child.pid}" for child in here.children(recursive=True)]
    if here.num_fds() > fds:
        leaks.append(f"{here.num_fds() - fds} descriptors")
    if here.memory_info().rss - rss_bytes > _GROWTH_BYTES:
        leaks.append(f"{here.memory_info().rss - rss_bytes} bytes of memory")
    return leaks


def _say(fields: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
