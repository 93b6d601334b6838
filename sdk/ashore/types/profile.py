"""What artifacts cost on targets (schema ``ashore.profile/1``): raw samples first, nothing that can be derived.

A metric that was not measured is None, and ``Result.skipped`` says why; it is never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ashore.types.conversion import Delegation
from ashore.types.target import TargetKind

SCHEMA = "ashore.profile/1"


class Mode(StrEnum):
    """``thorough`` takes at least 1024 samples and 60 seconds; figures of the two modes are never compared."""

    FAST = "fast"
    THOROUGH = "thorough"


class InputsOrigin(StrEnum):
    GOLDEN = "golden"
    """The artifact's own golden inputs."""
    RANDOM = "random"
    """Pseudo-random values of the described shapes, the same every time: the file has no golden inputs."""


@dataclass(frozen=True)
class ParityFigures:
    """How close the file came to PyTorch when it was made; units as in the manifest's ``parity``."""

    samples: int
    sqnr_db: float
    cosine: float
    max_abs: float
    nan: int
    inf: int
    floor_db: float
    top1_agreement: float | None = None


@dataclass(frozen=True)
class GraphCounts:
    """What the file's graph holds, by operator, and how many of them only convert or move data.

    ``transposes`` change the order of axes, ``copies`` move values without computing (clone, slice, concatenation…),
    ``conversions`` change the element type in a direction that the file does not name.
    """

    ops: Mapping[str, int]
    quantize: int
    dequantize: int
    transposes: int
    copies: int
    conversions: int = 0


@dataclass(frozen=True)
class ProfiledArtifact:
    """``precision`` is None for a file that ashore did not make.

    ``compressed_bytes`` is the file's size after DEFLATE, as an app store ships it.
    """

    name: str
    backend: str
    sha256: str
    bytes: int
    precision: str | None = None
    compressed_bytes: int | None = None
    parity: ParityFigures | None = None
    delegation: Delegation | None = None
    graph: GraphCounts | None = None


@dataclass(frozen=True)
class ProfiledTarget:
    """``runner`` is ``native`` or ``python``: which program held the engine."""

    id: str
    kind: TargetKind
    cpu: str
    abi: str
    os: str
    runtime_version: str
    runner: str | None = None
    cores: int | None = None


@dataclass(frozen=True)
class Settings:
    """How it was measured: ``repeats`` fresh processes, each with ``warmup`` runs, then at least ``runs`` timed ones.

    ``min_seconds`` is the least time all timed runs together were to last.
    """

    mode: Mode
    threads: int
    warmup: int
    runs: int
    repeats: int = 1
    min_seconds: float = 0.0
    inputs: InputsOrigin = InputsOrigin.GOLDEN


@dataclass(frozen=True)
class ColdRepeat:
    """One fresh process. ``runs``: how many of the result's ``latency_ns`` are its own, in the order of the repeats."""

    load_ns: int
    first_run_ns: int
    runs: int


@dataclass(frozen=True)
class Memory:
    """Of the process that holds the engine, in a pass of its own.

    ``baseline_bytes`` is before the model is loaded, ``loaded_bytes`` after it, ``peak_bytes`` the most up to the end
    of the runs. ``planned_bytes`` are the arenas that the engine says it planned. ``methods`` names where each is from.
    """

    baseline_bytes: int
    loaded_bytes: int
    peak_bytes: int
    method: str
    planned_bytes: int | None = None
    pss_bytes: int | None = None
    swap_bytes: int | None = None
    methods: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class InstructionCounts:
    """Guest instructions of one inference. ``samples`` are the counts of single runs, ``per_run`` their median."""

    per_run: int
    by_class: Mapping[str, int]
    samples: tuple[int, ...] = ()
    method: str = ""


@dataclass(frozen=True)
class OpCost:
    """One operator: ``ns`` and ``calls`` are totals over the operator pass's runs.

    ``module`` is the path in the user's PyTorch model, where it can be told.
    """

    name: str
    type: str
    delegated: bool
    ns: int
    calls: int
    module: str | None = None


@dataclass(frozen=True)
class OpsPass:
    """The runs whose operators were timed, by the engine's clock; slower than the latency pass by that timing."""

    run_ns: tuple[int, ...]

    @property
    def runs(self) -> int:
        return len(self.run_ns)


@dataclass(frozen=True)
class CurvePoint:
    """The runs of one stretch of time, which began ``start_s`` seconds after the first run."""

    start_s: float
    seconds: float
    runs: int
    median_ns: int
    p90_ns: int


@dataclass(frozen=True)
class Sustained:
    """Runs without a pause for ``minutes``."""

    minutes: float
    points: tuple[CurvePoint, ...]


@dataclass(frozen=True)
class CoreFrequency:
    core: int
    current_khz: int | None = None
    min_khz: int | None = None
    max_khz: int | None = None


@dataclass(frozen=True)
class Temperature:
    """Hottest sensor, in degrees Celsius, before and after the latency pass."""

    before_celsius: float
    after_celsius: float


@dataclass(frozen=True)
class Load:
    """What else the machine did during the latency pass.

    ``average_before`` and ``average_after`` are the system's one-minute load averages. ``others`` and ``stolen`` are
    cores, out of ``cores``, taken by other processes and by the hypervisor, on average (1.0 = one whole core).
    ``throttled_ns`` is the time for which the container's quota held us back; ``throttle_events`` counts how often the
    processor lowered its clock for heat or power.
    """

    average_before: float
    average_after: float
    cores: int
    others: float | None = None
    stolen: float | None = None
    throttled_ns: int | None = None
    throttle_events: int | None = None


@dataclass(frozen=True)
class Pace:
    """How fast the machine was: ``rounds_ns`` are the times of work that is always the same, around the timed runs.

    ``work`` names it: times of another are not comparable. ``best_ns`` is the best that was known of this machine.
    """

    work: str
    rounds_ns: tuple[int, ...]
    best_ns: int


@dataclass(frozen=True)
class Environment:
    """What the machine was and did during the latency pass.

    ``best_latency_ns`` is the best median that this same file, with as many threads, is known to have had there.
    """

    governor: str | None = None
    frequencies: tuple[CoreFrequency, ...] | None = None
    temperature: Temperature | None = None
    load: Load | None = None
    pace: Pace | None = None
    best_latency_ns: int | None = None


@dataclass(frozen=True)
class Result:
    """One artifact on one target with one number of threads.

    ``load_ns`` and ``first_run_ns`` are medians over ``repeats``. ``latency_ns`` holds the engine's time of every timed
    run, in order. Emulated targets have none of the three: their time is not the model's.
    """

    artifact: ProfiledArtifact
    target: ProfiledTarget
    settings: Settings
    load_ns: int | None = None
    first_run_ns: int | None = None
    latency_ns: tuple[int, ...] | None = None
    repeats: tuple[ColdRepeat, ...] = ()
    memory: Memory | None = None
    instructions: InstructionCounts | None = None
    ops: tuple[OpCost, ...] | None = None
    ops_pass: OpsPass | None = None
    sustained: Sustained | None = None
    environment: Environment = Environment()
    warnings: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """``<name>.<backend>.<precision>``, or the bare file's name."""
        words = (self.artifact.name, self.artifact.backend, self.artifact.precision)
        return ".".join(word for word in words if word)

    @property
    def samples_by_repeat(self) -> tuple[tuple[int, ...], ...]:
        """``latency_ns``, cut into the fresh processes it came from."""
        samples, cut = self.latency_ns or (), []
        for repeat in self.repeats or (ColdRepeat(0, 0, len(samples)),):
            cut.append(samples[: repeat.runs])
            samples = samples[repeat.runs :]
        return tuple(part for part in cut if part)


@dataclass(frozen=True)
class Profile:
    """Results in the order in which they were measured; ``created`` is UTC, ISO 8601."""

    results: tuple[Result, ...]
    created: str
    versions: Mapping[str, str] = field(default_factory=dict)
    schema: str = SCHEMA
