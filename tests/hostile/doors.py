"""The ways by which a file gets into ashore, and what may come of each case at each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import ashore
from ashore import registry
from ashore.errors import (
    AccuracyError,
    ArtifactError,
    AshoreError,
    ChecksumMismatch,
    ExecutionError,
    UsageError,
)
from ashore.pipeline.manifests import load_manifest
from ashore.types.artifact import Artifact
from ashore_converters.executorch.file import read_contents
from ashore_converters.litert.file import read_file
from hostile.corpus import Case, State

LIMIT_S = 5.0
"""For loading, and for each run."""
_MOST_INPUT_BYTES = 1 << 26

Door = Callable[[Path, str], object]
"""Takes the model file and the target's id."""


@dataclass(frozen=True)
class Outcome:
    """``error`` is None where there was an answer."""

    error: BaseException | None = None

    @property
    def word(self) -> str:
        return "answer" if self.error is None else type(self.error).__name__


def _run(file: Path, target: str) -> None:
    with ashore.open_session(file, target=target, timeout_s=LIMIT_S) as session:
        sizes = [int(np.prod(spec.shape, dtype=object)) * np.dtype(spec.dtype).itemsize for spec in session.inputs]
        if sum(sizes) <= _MOST_INPUT_BYTES:  # else it is the caller who would need the memory
            session.run({spec.name: np.zeros(spec.shape, spec.dtype) for spec in session.inputs})


def _verify(file: Path, target: str) -> None:
    ashore.verify(file, target=target, timeout_s=LIMIT_S)


def _inspect(file: Path, target: str) -> None:
    del target
    ashore.inspect(file)


def _parse(file: Path, target: str) -> None:
    """What ``inspect`` does in the caller's process; for a .tflite, it tries the file in another besides."""
    del target
    if file.suffix == ".tflite":
        read_file(file)
    else:
        read_contents(file)


def _open_late(file: Path, target: str) -> None:
    """As if the file had been swapped after its hash was checked: the runner itself must notice."""
    backend = registry.backend_of_suffix(file.suffix)
    assert backend is not None
    manifest = load_manifest(file.with_suffix(".json").read_bytes(), file.name)
    registry.get_target(target).open(Artifact(file, backend, manifest), timeout_s=LIMIT_S).close()


DOORS: dict[str, Door] = {"run": _run, "verify": _verify, "inspect": _inspect, "parse": _parse, "open late": _open_late}


def doors_of(case: Case, number: int) -> tuple[str, ...]:
    """``number`` in the corpus: a slow door gets one case in so many."""
    if case.state is State.VOUCHED:
        return ("run", "verify", "inspect") if case.kind in _BESIDE else ("run", "verify", "inspect", "open late")
    if case.model.endswith(".tflite") and number % _INSPECT_STEP:
        return ("run", "verify", "parse") if isinstance(case.parts[case.model], bytes) else ("run", "verify")
    return ("run", "verify", "inspect")


_INSPECT_STEP = 40
_BESIDE = ("golden samples", "manifests", "forged manifests", "swapped files", "special files")
"""Kinds of damage that leave the model file whole."""


def attempt(door: str, file: Path, target: str) -> Outcome:
    try:
        DOORS[door](file, target)
    except Exception as error:  # noqa: BLE001 — whatever comes is judged
        return Outcome(error)
    return Outcome()


def complaint(case: Case, door: str, outcome: Outcome) -> str | None:
    """Why this may not be; None where all is well."""
    error = outcome.error
    if error is None:
        return None if case.state is not State.VOUCHED and (door, case.state) != ("verify", State.BARE) else "an answer"
    if not isinstance(error, AshoreError):
        return f"{type(error).__name__}: {str(error)[:300]}"
    if not any(name in error.message for name in case.parts):
        return f"names no file: {error.message[:300]}"
    if not error.hint:
        return f"has no hint: {error.message[:300]}"
    if len(error.message) > 10_000:
        return f"talks too much: {len(error.message)} characters"
    if not isinstance(error, _allowed(case, door)):
        return f"{type(error).__name__}: {error.message[:300]}"
    return None


def _allowed(case: Case, door: str) -> tuple[type[AshoreError], ...]:
    regular = isinstance(case.parts[case.model], bytes)
    absent: tuple[type[AshoreError], ...] = () if regular else (UsageError,)
    if door == "open late":
        return (ChecksumMismatch,)
    if door in ("inspect", "parse") or case.state is State.VOUCHED:
        return (ArtifactError, *absent)
    if case.state is State.BARE:
        return (UsageError,) if door == "verify" else (ArtifactError, ExecutionError, *absent)
    return (ArtifactError, ExecutionError, AccuracyError)
