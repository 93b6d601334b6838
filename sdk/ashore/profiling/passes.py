"""The measuring passes. Each opens sessions of its own: what one does to a process cannot reach another's figures."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from ashore.errors import TargetUnavailable
from ashore.interfaces import CountsInstructions, Session, Target
from ashore.profiling.environment import PaceWatch, Watch
from ashore.profiling.inputs import Inputs
from ashore.profiling.modules import with_modules
from ashore.types.artifact import Artifact
from ashore.types.profile import ColdRepeat, InstructionCounts, Memory, OpCost, OpsPass, Settings
from ashore.types.reading import MemoryReading, OpTime, OpTimes
from ashore.types.tensor import Sample

_MEMORY_RUNS = 5
_OPS_RUNS = 20
_INSTRUCTION_RUNS = 3
_SLICE_NS = 5_000_000_000
"""A request for more runs than fit in about this time is cut, so that progress shows and limits of time hold."""
_SLICE_RUNS = 50_000
_LEAST_PARTS = 4
"""Neighbours come and go within a tenth of a second: their moments must be met in between, too."""
_WARM_AGAIN_RUNS = 1
"""The first run after the pace was taken is 1 to 3 % slower than others, the second at most 1 %."""
_KEPT_SAMPLES = 60_000
"""Of one result; more are thinned out evenly, or the file of a thorough profile of a tiny model has hundreds of MB."""


@dataclass(frozen=True)
class Case:
    """One artifact on one target with one number of threads."""

    artifact: Artifact
    target: Target
    inputs: Inputs
    settings: Settings

    def open(self, *, count_ops: bool = False) -> Session:
        return self.target.open(self.artifact, threads=self.settings.threads, count_ops=count_ops)

    def first_run(self, session: Session) -> int:
        """Give the session its inputs; nanoseconds of that run."""
        session.run(self.inputs.at_edge(session.inputs))
        return session.last_run_ns


@dataclass
class LatencyPass:
    """Fresh processes, one ``repeat`` each; a caller may do other cases' repeats in between."""

    case: Case
    watch: Watch
    samples: list[int] = field(default_factory=list)
    repeats: list[ColdRepeat] = field(default_factory=list)
    runner: str = ""
    engine_version: str = ""
    pace: PaceWatch = field(default_factory=PaceWatch)

    def repeat(self) -> None:
        self.watch.begin()
        with self.case.open() as session:
            self.runner, self.engine_version = session.runner, session.engine_version
            first_ns = self.case.first_run(session)
            samples = self._timed_parts(session, first_ns)
            self.watch.end(session.pid)
            self.repeats.append(ColdRepeat(session.load_ns, first_ns, len(samples)))
        self.samples += samples

    def _timed_parts(self, session: Session, first_ns: int) -> list[int]:
        """With the machine's pace before, between and after; what that leaves in the caches, warm-ups replace."""
        settings = self.case.settings
        least_ns = round(settings.min_seconds * 1e9 / settings.repeats)
        parts = max(_LEAST_PARTS, round(least_ns / _SLICE_NS))
        samples: list[int] = []
        for part in range(parts):
            self.pace.take(session)
            timed(session, _WARM_AGAIN_RUNS if part else settings.warmup, 0, first_ns)
            runs = settings.runs * (part + 1) // parts - settings.runs * part // parts
            samples += timed(session, runs, least_ns // parts, first_ns)
        self.pace.take(session)
        return samples

    def thinned(self) -> tuple[tuple[int, ...], tuple[ColdRepeat, ...], str | None]:
        """Samples, repeats that count them, and a warning where not every sample is kept."""
        step = -(-len(self.samples) // _KEPT_SAMPLES)
        if step <= 1:
            return tuple(self.samples), tuple(self.repeats), None
        kept: list[int] = []
        repeats, start = [], 0
        for repeat in self.repeats:
            part = self.samples[start : start + repeat.runs : step]
            start += repeat.runs
            kept += part
            repeats.append(replace(repeat, runs=len(part)))
        return tuple(kept), tuple(repeats), f"every {step}th of {len(self.samples)} runs is kept, evenly spread"


def timed(session: Session, runs: int, least_ns: int, guess_ns: int) -> list[int]:
    """At least ``runs`` runs that last at least ``least_ns`` together; ``guess_ns`` is what one may take."""
    samples: list[int] = []
    spent_ns, began = 0, time.perf_counter_ns()
    while len(samples) < runs or max(spent_ns, time.perf_counter_ns() - began) < least_ns:
        mean_ns = max(1, spent_ns // len(samples) if samples else guess_ns)
        lacking = (least_ns - spent_ns) // mean_ns + 1 if samples else 0  # a guess may be far off
        wanted = min(max(runs - len(samples), lacking), _SLICE_NS // mean_ns, _SLICE_RUNS)
        latest = session.repeat(max(1, wanted))
        samples += latest
        spent_ns += sum(latest)
    return samples


def measure_memory(case: Case) -> Memory:
    """In a process that is neither timed nor profiled.

    Raises:
        AshoreError: the target does not say, or the model could not be run.
    """
    with case.open() as session:
        case.first_run(session)
        session.repeat(_MEMORY_RUNS)
        baseline, loaded, last = session.baseline, session.loaded, session.memory()
        planned = session.planned_bytes
    resident = f"resident size ({loaded.method})"
    methods = {
        "baseline_bytes": f"{resident} with the engine's libraries, before the model",
        "loaded_bytes": f"{resident} with the model, before its first run",
        "peak_bytes": f"most of high-water mark and resident + swapped size ({last.method}), {1 + _MEMORY_RUNS} runs",
    }
    if planned is not None:
        methods["planned_bytes"] = "activations as the file or the engine plans them; part of the resident size"
    return Memory(
        baseline_bytes=baseline.rss_bytes,
        loaded_bytes=loaded.rss_bytes,
        peak_bytes=max(_most(reading) for reading in (baseline, loaded, last)),
        method=last.method,
        planned_bytes=planned,
        pss_bytes=last.pss_bytes,
        swap_bytes=last.swap_bytes,
        methods=methods,
    )


def _most(reading: MemoryReading) -> int:
    return max(reading.peak_bytes, reading.rss_bytes + (reading.swap_bytes or 0))


def measure_ops(case: Case) -> tuple[tuple[OpCost, ...], OpsPass]:
    """Steady runs only: what the first runs took is subtracted.

    Raises:
        AshoreError: the runner cannot time operators, or the model could not be run.
    """
    with case.open(count_ops=True) as session:
        first_ns = case.first_run(session)
        timed(session, case.settings.warmup, 0, first_ns)
        before = session.ops()
        run_ns = timed(session, _OPS_RUNS, 0, first_ns)
        after = session.ops()
    costs = [_cost(op, start) for op, start in _paired(after, before)]
    manifest = case.artifact.manifest
    return with_modules(costs, (manifest and manifest.layers) or ()), OpsPass(tuple(run_ns))


def _paired(after: OpTimes, before: OpTimes) -> list[tuple[OpTime, OpTime | None]]:
    """The two lists are of one graph; an operator that had not run before has no counterpart."""
    known: dict[tuple[str, str, bool, int], OpTime] = _by_place(before)
    return [(op, known.get(place)) for place, op in _by_place(after).items()]


def _by_place(times: OpTimes) -> dict[tuple[str, str, bool, int], OpTime]:
    """Names may repeat: the how-manieth of its name an operator is, belongs to its key."""
    placed: dict[tuple[str, str, bool, int], OpTime] = {}
    seen: dict[tuple[str, str, bool], int] = {}
    for op in times.ops:
        key = (op.name, op.type, op.delegated)
        seen[key] = seen.get(key, -1) + 1
        placed[(*key, seen[key])] = op
    return placed


def _cost(op: OpTime, start: OpTime | None) -> OpCost:
    ns, calls = (start.ns, start.calls) if start else (0, 0)
    return OpCost(op.name, op.type, op.delegated, max(0, op.ns - ns), max(0, op.calls - calls))


def count_instructions(case: Case) -> InstructionCounts:
    """Raises AshoreError where the target cannot count, or only at one thread."""
    if not isinstance(case.target, CountsInstructions):
        raise TargetUnavailable("this target counts no instructions; emulated ones can", "take an emulator target")
    if case.settings.threads != 1:
        raise TargetUnavailable(
            "instructions are counted at one thread: with more, waiting would be counted too", "add --threads 1"
        )
    return case.target.count_instructions(case.artifact, _edge_sample(case), runs=_INSTRUCTION_RUNS)


def _edge_sample(case: Case) -> Sample:
    """A manifest spares the session, which on an emulator takes a while to start."""
    if case.artifact.manifest:
        return case.inputs.at_edge(case.artifact.manifest.inputs)
    with case.open() as session:
        return case.inputs.at_edge(session.inputs)
