"""A process that only uses the library, asked for runs one line at a time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bare_native import bare_program
from files import HERE


class BareProcess:
    """Comes up with the model loaded and run once. ``command`` is as ``native_command`` and ``python_command`` give."""

    def __init__(self, command: Sequence[str]) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, text=True, **pipes)
        self.pid = self._process.pid
        self._answer()

    def microseconds(self, runs: int) -> list[float]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{runs}\n")
        self._process.stdin.flush()
        return [int(word) / 1000 for word in self._answer().split()]

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{self._process.args} ended with exit code {self._process.wait()}")
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()


def native_command(backend: str, file: Path, picture: Path) -> list[str]:
    return [str(bare_program(backend)), str(file), str(picture), "1"]


def python_command(backend: str, file: Path, picture: Path) -> list[str]:
    return [sys.executable, str(HERE / "bare_runtime.py"), backend, str(file), str(picture)]
