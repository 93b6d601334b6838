"""Two backends and a host that need no heavy library, for tests of what lies between a source and a file.

``python fakes.py WORDS…`` is the ``ashore`` command with these plug-ins in place of the real ones; the environment
variable ``ASHORE_FAKES`` then holds the behaviour of the backend ``fake`` as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ashore import registry
from ashore.errors import ArtifactError, InputMismatch, LoweringFailed, TargetUnavailable, UnsupportedModel
from ashore.types.artifact import Artifact
from ashore.types.conversion import Conversion, ConversionRequest, Delegation, FileContents, UndelegatedOp
from ashore.types.reading import MemoryReading, OpTimes, PaceReading
from ashore.types.target import TargetInfo, TargetKind
from ashore.types.tensor import Array, Sample, TensorSpec
from fake_costs import FakeClock, costs_of
from fake_trial import FakeTrial, noise_of_file, shaken

_MARK = b"FAKE"


@dataclass
class Behaviour:
    """What a fake backend does wrong."""

    noise: float = 0.0
    """Added to every output value, in turns with its negative."""
    spoil: str = ""
    """``nan``, ``inf``, ``shape``: what is wrong with every output."""
    refuses: bool = False
    fails: bool = False
    raises: BaseException | None = None
    prints: str = ""
    bytes: int = 4096
    sleep_s: float = 0.0
    int8_noise: dict[str, float] = field(default_factory=dict)
    """By module path: what int8 of this layer adds to every output value, in turns with its negative."""
    mixing_noise: float = 0.0
    """What a file with layer rules adds to every output value, of which its trial shows nothing."""
    float_start: tuple[str, ...] = ()
    """What plain int8 keeps in float."""
    child: bool = False
    """Whether it works in a child process while it sleeps."""


@dataclass
class _Made:
    request: ConversionRequest
    behaviour: Behaviour


BEHAVIOURS: dict[str, Behaviour] = {}
_MADE: dict[bytes, _Made] = {}


class FakeConverter:
    """Keeps the model in memory; the file holds the key to it."""

    backend = "fake"
    suffix = ".fake"

    @property
    def _behaviour(self) -> Behaviour:
        return BEHAVIOURS.setdefault(self.backend, Behaviour())

    def check(self, request: ConversionRequest) -> tuple[str, ...]:
        del request
        if self._behaviour.refuses:
            raise UnsupportedModel(f"{self.backend} has no operator for layer '0'", "take another backend")
        return (f"{self.backend} is not real",)

    def convert(self, request: ConversionRequest, destination: Path, progress: Callable[[str], None]) -> Conversion:
        behaviour = self._behaviour
        progress("pretending")
        os.write(1, behaviour.prints.encode())
        key = _MARK + os.urandom(16)
        destination.write_bytes(key.ljust(behaviour.bytes, b"."))
        _work(behaviour)
        if behaviour.raises is not None:
            raise behaviour.raises
        if behaviour.fails:
            raise LoweringFailed(f"{self.backend} gave up on operator 'aten.mm'", "rewrite it")
        _MADE[key] = _Made(request, behaviour)
        delegation = Delegation(3, 4, 1, (UndelegatedOp("aten.mm", 1),))
        return Conversion(request.inputs, request.outputs, "none", delegation, {"fake": "1"}, request.recipe)

    def trial(self, request: ConversionRequest, progress: Callable[[str], None]) -> FakeTrial:
        progress("trying")
        return FakeTrial(request, self._behaviour.int8_noise, self._behaviour.float_start)

    def inspect(self, path: Path) -> FileContents:
        made = _made(path)
        return FileContents(
            made.request.inputs, made.request.outputs, {"aten.mm": 1}, Delegation(3, 4, 1), {"all": path.stat().st_size}
        )


class ShamConverter(FakeConverter):
    """A second backend, which can behave differently and offers no trials."""

    backend = "sham"
    suffix = ".sham"
    trial = None  # type: ignore[assignment]


def _work(behaviour: Behaviour) -> None:
    if not behaviour.sleep_s:
        return
    sleep = f"import time; time.sleep({behaviour.sleep_s})"
    child = subprocess.Popen([sys.executable, "-c", sleep]) if behaviour.child else None
    try:
        # Not before the child is ours to end: a signal inside of Popen would leave it to nobody.
        print("working", file=sys.stderr, flush=True)
        time.sleep(behaviour.sleep_s)
    finally:
        if child is not None:
            child.kill()
            child.wait()


def _made(path: Path) -> _Made:
    key = path.read_bytes()[: len(_MARK) + 16]
    if key not in _MADE:
        raise ArtifactError(f"{path} is no fake", "convert it in this process")
    return _MADE[key]


class FakeSession:
    """Runs the very model that was converted, and spoils its outputs as asked."""

    def __init__(self, made: _Made, clock: FakeClock) -> None:
        self._made = made
        self._clock = clock
        self.inputs: tuple[TensorSpec, ...] = made.request.inputs
        self.outputs: tuple[TensorSpec, ...] = made.request.outputs
        self.last_run_ns = 0
        self.load_ns = clock.costs.load_ns
        self.planned_bytes: int | None = clock.costs.planned_bytes
        self.runner = "native"
        self.engine_version = "1"
        self.pid: int | None = None

    @property
    def baseline(self) -> MemoryReading:
        return self._clock.memory(self._clock.costs.baseline_bytes, self._clock.costs.baseline_bytes)

    @property
    def loaded(self) -> MemoryReading:
        return self._clock.memory(self._clock.costs.loaded_bytes, self._clock.costs.loaded_bytes)

    def run(self, inputs: Mapping[str, Array]) -> Sample:
        from ashore.sources.eager import run_eager

        if set(inputs) != {spec.name for spec in self.inputs}:
            raise InputMismatch(f"unknown input among {sorted(inputs)}", "name them as the model does")
        self.last_run_ns = self._clock.next() if self._clock.runs else self._clock.first()
        results = run_eager(self._made.request.model, inputs, self.outputs)  # type: ignore[arg-type]
        noise = noise_of_file(self._made.behaviour.int8_noise, self._made.request.recipe)
        noise += self._made.behaviour.mixing_noise if self._made.request.recipe.layers else 0.0
        return {name: shaken(_spoiled(array, self._made.behaviour), noise) for name, array in results.items()}

    def input_buffers(self) -> Sample:
        return {spec.name: np.zeros(spec.shape, spec.dtype) for spec in self.inputs}

    def repeat(self, runs: int) -> list[int]:
        return [self._clock.next() for _ in range(runs)]

    def memory(self) -> MemoryReading:
        return self._clock.memory(self._clock.costs.loaded_bytes, self._clock.costs.peak_bytes)

    def ops(self) -> OpTimes:
        return self._clock.ops()

    def pace(self) -> PaceReading:
        return self._clock.pace()

    def close(self) -> None: ...

    def __enter__(self) -> FakeSession:
        return self

    def __exit__(self, *_: object) -> None: ...


def _spoiled(array: Array, behaviour: Behaviour) -> Array:
    if behaviour.spoil == "shape":
        return array[..., :-1]
    spoiled = np.array(array)
    if behaviour.spoil:
        spoiled.reshape(-1)[0] = float(behaviour.spoil)
    return shaken(spoiled, behaviour.noise)


@dataclass
class FakeTarget:
    """Where every fake runs; what kind of place it is, is only said."""

    id: str = "host"
    kind: TargetKind = TargetKind.HOST
    cpu: str = "imagined"
    backends: tuple[str, ...] = ("fake", "sham")
    problem: str | None = None

    def describe(self) -> TargetInfo:
        info = TargetInfo(self.id, self.kind, self.cpu, 1, 2**30, "x86_64", "Linux", self.backends, self.problem)
        return replace(info, runner="native", engine_versions=dict.fromkeys(self.backends, "1"))

    def open(
        self, artifact: Artifact, *, threads: int = 1, timeout_s: float = 300.0, count_ops: bool = False
    ) -> FakeSession:
        del timeout_s
        return FakeSession(_made(artifact.file), costs_of(artifact.file.name).open(threads, count_ops))


class FakeRuntime:
    """The kind ``host``; a test may put other targets in ``places``."""

    places: ClassVar[dict[str, FakeTarget]] = {}

    def targets(self) -> tuple[FakeTarget, ...]:
        return (FakeTarget(), *self.places.values())

    def target(self, target_id: str) -> FakeTarget:
        found = next((target for target in self.targets() if target.id == target_id), None)
        if found is None:
            raise TargetUnavailable(f"there is no target {target_id!r}", "take host")
        return found


@dataclass(frozen=True)
class _Entry:
    """Stands for an entry point of an installed plug-in."""

    plug_in: Any

    def load(self) -> Any:
        return self.plug_in


_ENTRIES = {
    "ashore.converters": {"fake": _Entry(FakeConverter), "sham": _Entry(ShamConverter)},
    "ashore.runtimes": {"host": _Entry(FakeRuntime)},
}


def entries(group: str) -> dict[str, Any]:
    """In place of ``ashore.registry._entries``."""
    return _ENTRIES[group]


if __name__ == "__main__":
    from ashore.cli import main

    registry._entries = entries  # type: ignore[assignment]
    BEHAVIOURS["fake"] = Behaviour(**json.loads(os.environ.get("ASHORE_FAKES", "{}")))
    main()
