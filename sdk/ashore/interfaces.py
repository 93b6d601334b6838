"""What a plug-in must offer. ashore finds plug-ins by entry point and never imports one by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from ashore.types.artifact import Artifact
from ashore.types.conversion import Conversion, ConversionRequest, FileContents
from ashore.types.profile import InstructionCounts
from ashore.types.reading import MemoryReading, OpTimes, PaceReading
from ashore.types.sensitivity import LayerCost, LayerReading
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


class Trial(Protocol):
    """An int8 model that can be tried with any of its modules in float, before a file is made of it."""

    layers: tuple[LayerCost, ...]
    """Layers with weights that int8 concerns, in the order in which they compute."""
    start: tuple[str, ...]
    """Module paths that plain int8 keeps in float, by its own measurement."""

    def run(self, sample: Sample, float_modules: tuple[str, ...]) -> Sample:
        """Outputs, as the file would give them, with everything inside of these modules in float.

        Calls with the same ``float_modules`` should follow one another: a change of them costs seconds.
        """
        ...

    def readings(self, samples: Sequence[Sample]) -> Mapping[str, LayerReading]:
        """By module path; without ``start``, all is int8. Layers whose output the file does not hold are left out."""
        ...


@runtime_checkable
class OffersTrials(Protocol):
    """A converter that can tell what int8 costs, layer by layer."""

    def trial(self, request: ConversionRequest, progress: Progress) -> Trial:
        """``request`` asks for int8. Raises as ``Converter.convert`` does."""
        ...


class Session(Protocol):
    """A model loaded on a target, in a process of its own."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    last_run_ns: int
    """Nanoseconds the engine itself took for the latest run; 0 before the first."""
    load_ns: int
    """Nanoseconds the engine took to load the file, its libraries being in memory."""
    planned_bytes: int | None
    """What the file itself plans for activations; None where the engine does not say."""
    runner: str
    """``native`` or ``python``: the program that runs the engine."""
    engine_version: str
    pid: int | None
    """The process on this machine; None where the model runs elsewhere."""

    @property
    def baseline(self) -> MemoryReading:
        """Memory with the engine's libraries loaded, before any model. Raises as ``memory`` does."""
        ...

    @property
    def loaded(self) -> MemoryReading:
        """Memory with the model loaded, before the first run. Raises as ``memory`` does."""
        ...

    def run(self, inputs: Mapping[str, Array]) -> Sample:
        """One inference. Names, dtypes and shapes are checked before anything is sent.

        Raises:
            InputMismatch: a name, dtype or shape differs from ``inputs``.
            EngineCrashed: the process died; the message names the signal and the last thing it did.
            ExecutionError: the engine reported an error, or the run took longer than the session's limit.
        """
        ...

    def input_buffers(self) -> Sample:
        """Arrays, by name, that ``run`` need not copy: fill them in place, then ``run`` them, again and again.

        Their shapes are those of ``inputs`` (of a dynamic dimension, the size given there), their dtypes the file's. A
        run of other arrays writes over them.

        Raises:
            ExecutionError: the session is over.
        """
        ...

    def repeat(self, runs: int) -> list[int]:
        """Run again on the inputs of the latest ``run``, moving no data; the nanoseconds the engine took, run by run.

        Raises:
            UsageError: there was no run yet, or ``runs`` is less than 1.
            ExecutionError, EngineCrashed: as ``run``.
        """
        ...

    def memory(self) -> MemoryReading:
        """Memory now.

        Raises:
            ExecutionError: the system of the target does not say.
        """
        ...

    def ops(self) -> OpTimes:
        """Times of the operators, summed over all runs so far.

        Raises:
            UsageError: the session was not opened with ``count_ops=True``.
            ExecutionError: this runner cannot tell.
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

    @property
    def id(self) -> str: ...

    def describe(self) -> TargetInfo: ...

    def open(
        self, artifact: Artifact, *, threads: int = 1, timeout_s: float = 300.0, count_ops: bool = False
    ) -> Session:
        """Load a model. ``artifact.file`` has been checked against its manifest already.

        Args:
            threads: for the engine, at least 1.
            timeout_s: longest time to load the model, and longest time of each run.
            count_ops: measure operators, for ``Session.ops``; the runs become slower.
        """
        ...


@runtime_checkable
class TellsPace(Protocol):
    """What a session may offer besides: how fast its machine is at this moment."""

    def pace(self) -> PaceReading:
        """Several rounds of work that is always the same, done where the model runs; a few milliseconds in all.

        They displace some of the model's data from the caches: warm up again before timing.

        Raises:
            ExecutionError: this runner cannot tell.
        """
        ...


@runtime_checkable
class CountsInstructions(Protocol):
    """What a target may offer besides: counts that repeat, where time means nothing."""

    def count_instructions(self, artifact: Artifact, inputs: Sample, *, runs: int = 3) -> InstructionCounts:
        """Guest instructions of single inferences at one thread, after a warm-up.

        Args:
            inputs: as ``Session.run`` takes them.
            runs: how many inferences are counted, each by itself.

        Raises:
            TargetUnavailable: what counts is not installed; the hint says how to add it.
            ExecutionError: the model could not be run.
        """
        ...


@runtime_checkable
class Cleans(Protocol):
    """What a target may offer besides, where models leave something behind."""

    def clean(self) -> str:
        """Remove everything that ashore put there; what was done, in a sentence.

        Raises:
            TargetError: it cannot be reached, or does not let go.
        """
        ...


@runtime_checkable
class ReadsFiles(Protocol):
    """What a target may offer besides, for governor, clocks, temperature and load of the machine it is."""

    def read_text(self, path: str) -> str | None:
        """The text of a small file there, such as ``/proc/loadavg``; None where it cannot be read."""
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
