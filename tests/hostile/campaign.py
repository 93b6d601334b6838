"""Workers that take cases through ashore, and what became of all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_WORKER = Path(__file__).with_name("worker.py")
_SILENCE_S = 240.0
"""No single attempt may take as long."""


@dataclass(frozen=True)
class Task:
    """One worker's cases: ``part`` is a slice of the corpus, ``doors`` is empty for all."""

    label: str
    originals: Path
    part: tuple[int, int]
    share: float = 1.0
    target: str = "host"
    doors: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def argv(self, begin: int) -> list[str]:
        words = ["--target", self.target, "--share", str(self.share), "--slice", f"{begin}::{self.part[1]}"]
        return [sys.executable, str(_WORKER), str(self.originals), *words, "--doors", self.doors]


@dataclass
class Results:
    """``attempts`` are the workers' lines; ``violations`` what must never be."""

    attempts: list[dict[str, Any]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def count(self, key: str) -> Counter[Any]:
        return Counter(attempt[key] for attempt in self.attempts if attempt[key])

    @property
    def files(self) -> int:
        return len({(attempt["case"], attempt["state"]) for attempt in self.attempts})

    @property
    def leaks(self) -> int:
        return sum(bool(attempt["leaks"]) for attempt in self.attempts)


def carry_out(task: Task) -> Results:
    """All of a task's cases, with a new worker after each that died, which is a violation."""
    results, begin = Results(), task.part[0]
    while True:
        last, returncode, errors = _attend(task, begin, results)
        if returncode == 0:
            return results
        results.violations.append(f"{task.label}: the caller ended with {returncode} at {last}: {errors}")
        if last is None:
            return results
        begin = last["number"] + task.part[1]


def _attend(task: Task, begin: int, results: Results) -> tuple[dict[str, Any] | None, int, str]:
    """One worker to its end: what it did last, its return code, and the end of what it printed."""
    last = None
    environment = {**os.environ, **task.environment}
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(task.argv(begin), stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as worker,
    ):
        for line in _lines(worker):
            if "outcome" in line:
                _note(results, line | {"label": task.label, "door": last["door"] if last else ""})
            else:
                last = line
        returncode = worker.wait()
        errors.seek(0)
        return last, returncode, errors.read()[-500:]


def _lines(worker: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert worker.stdout is not None
    watchdog = threading.Timer(_SILENCE_S, worker.kill)
    watchdog.start()
    for line in worker.stdout:
        watchdog.cancel()
        watchdog = threading.Timer(_SILENCE_S, worker.kill)
        watchdog.start()
        yield json.loads(line)
    watchdog.cancel()


def _note(results: Results, attempt: dict[str, Any]) -> None:
    results.attempts.append(attempt)
    where = f"{attempt['label']}: {attempt['case']} ({attempt['state']}) through {attempt['door']}"
    if attempt["complaint"]:
        results.violations.append(f"{where}: {attempt['complaint']}")
    if attempt["hang"]:
        results.violations.append(f"{where}: took {attempt['took_s']} s")
    if attempt["leaks"]:
        results.violations.append(f"{where}: left {', '.join(attempt['leaks'])}")
