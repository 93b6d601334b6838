"""What a plug-in must offer. ashore finds plug-ins by entry point and never imports one by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from ashore.types.artifact import Artifact
from ashore.types.conversion import Conversion, ConversionRequest, FileContents
from ashore.types.target import TargetInfo
from ashore.types.tensor import Array, Sample, TensorSpec

Progress = Callable[[str], None]
"""Told the name of each stage of long work as it begins."""


@runtime_checkable
class Converter(Protocol):
    """Turns a prepared PyTorch model into one file. Entry point group ``ashore.converters``, named by ``backend``."""

    backend: str
    suffix: str

    def check(self, request: ConversionRequest) -> tuple[str, ...]:
        """Cautions about this model in this precision, known before the work starts.

        Raises:
            UnsupportedModel: it cannot be done; the message names the operator, its module path and the way out.
            TargetUnavailable: the backend's libraries are not installed; the hint is the command that adds them.
        """
        ...

    def convert(self, request: ConversionRequest, destination: Path, progress: Progress) -> Conversion:
        """Write the model file at ``destination`` (which does not exist yet).

        Raises:
            ConversionError: with the library's own exception as its cause.
        """
        ...

    def inspect(self, path: Path) -> FileContents:
        """Read a file of this backend, made by ashore or not, without importing torch.

        Raises:
            ArtifactError: it is not a readable file of this format.
        """
        ...


class Session(Protocol):
    """A model loaded on a target, in a process of its own."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    last_run_ns: int
    """Nanoseconds the engine itself took for the latest run; 0 before the first."""

    def run(self, inputs: Mapping[str, Array]) -> Sample:
        """One inference. Names, dtypes and shapes are checked before anything is sent.

        Raises:
            InputMismatch: a name, dtype or shape differs from ``inputs``.
            EngineCrashed: the process died; the message names the signal and the last thing it did.
            ExecutionError: the engine reported an error, or the run took longer than the session's limit.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@runtime_checkable
class Target(Protocol):
    """A place where an artifact runs."""

    id: str

    def describe(self) -> TargetInfo: ...

    def open(self, artifact: Artifact, *, threads: int = 1, timeout_s: float = 300.0) -> Session:
        """Load a model. ``artifact.file`` has been checked against its manifest already."""
        ...


@runtime_checkable
class Runtime(Protocol):
    """A kind of target. Entry point group ``ashore.runtimes``, named by the part of the target id before ':'."""

    def targets(self) -> tuple[Target, ...]:
        """Every target of this kind that is known here, ready or not."""
        ...

    def target(self, target_id: str) -> Target:
        """Raises TargetUnavailable where there is none of that id."""
        ...
