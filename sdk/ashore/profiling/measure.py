"""``profile``: artifacts on targets, pass by pass."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TypeVar

from ashore import registry
from ashore.errors import AshoreError, EngineCrashed, TargetUnavailable, UsageError
from ashore.interfaces import Progress, ReadsFiles, Target
from ashore.pipeline.artifacts import load_artifact
from ashore.profiling.cooling import Cooling
from ashore.profiling.description import describe_artifact, describe_target
from ashore.profiling.environment import Watch
from ashore.profiling.inputs import Inputs
from ashore.profiling.machine import ReadText, read_local
from ashore.profiling.noise import HOT_CELSIUS, warnings_of
from ashore.profiling.paces import learn_best, learn_best_latency, typical_ns
from ashore.profiling.passes import Case, LatencyPass, count_instructions, measure_memory, measure_ops
from ashore.profiling.statistics import latency_of
from ashore.profiling.sustained import measure_sustained
from ashore.types.artifact import Artifact
from ashore.types.profile import Mode, Pace, Profile, ProfiledArtifact, Result, Settings
from ashore.types.target import TargetInfo, TargetKind

_Measured = TypeVar("_Measured")
_FAST = Settings(Mode.FAST, threads=1, warmup=3, runs=20, repeats=3)
_THOROUGH = Settings(Mode.THOROUGH, threads=1, warmup=3, runs=342, repeats=3, min_seconds=60.0)
"""MLPerf Mobile asks for 1024 samples and 60 seconds; three fresh processes take a third of each."""
_SETTINGS = {Mode.FAST: _FAST, Mode.THOROUGH: _THOROUGH}
_EMULATED = "the emulator's own time, which says nothing about the model's on a real processor"

_NOT_COOL = "hot: the device did not cool down in 5 minutes of waiting"


@dataclass
class _Work:
    """A case, and what was found so far."""

    case: Case
    described: ProfiledArtifact
    info: TargetInfo
    latency: LatencyPass
    cooling: Cooling
    result: Result
    pace: Pace | None = None
    skipped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def emulated(self) -> bool:
        return self.info.kind is TargetKind.EMULATOR

    @property
    def title(self) -> str:
        threads = self.case.settings.threads
        return f"{self.result.title} on {self.info.id}, {threads} thread{'s' if threads > 1 else ''}"

    def attempt(self, metric: str, measure: Callable[[], _Measured]) -> _Measured | None:
        """What cannot be measured here is absent, with the reason; a model that crashes its engine is an error."""
        try:
            return measure()
        except EngineCrashed:
            raise
        except AshoreError as error:
            self.skipped[metric] = error.message.splitlines()[0]
            return None


def profile(
    artifacts: Artifact | Path | str | Sequence[Artifact | Path | str],
    *,
    targets: Sequence[str] = ("host",),
    threads: Sequence[int] = (1,),
    mode: Mode | str = Mode.FAST,
    ops: bool = False,
    sustained_minutes: float | None = None,
    progress: Progress = lambda _stage: None,
) -> Profile:
    """Measure what artifacts cost: latency, memory, instructions and, when asked for, operators and endurance.

    Every pass runs in fresh processes. Fast mode times 3 processes with 3 warm-ups and 20 runs each; thorough mode at
    least 1024 runs over at least 60 seconds. The processes of all artifacts take turns, so that a machine that becomes
    slower does so for all.

    Args:
        artifacts: one or several, or the paths of model files; their hashes are checked first.
        targets: ids, as ``ashore targets`` lists them.
        threads: each number is measured by itself.
        mode: ``fast`` or ``thorough``.
        ops: also time single operators.
        sustained_minutes: also run without a pause for so long.
        progress: told each stage as it begins.

    Raises:
        UsageError: there is nothing to measure, or a number makes no sense.
        ArtifactError: a file or its manifest were altered.
        TargetError: a target is not there, not ready, or does not run this kind of file.
        ExecutionError: a model could not be run.
    """
    _check(threads, sustained_minutes)
    works = _plan(artifacts, targets, threads, _SETTINGS[_mode(mode)], progress)
    _time_all(works, progress)
    _judge_paces(works)
    for work in works:
        _measure_rest(work, ops, sustained_minutes, progress)
    return Profile(
        tuple(_finished(work) for work in works),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=_versions(),
    )


def _mode(word: Mode | str) -> Mode:
    try:
        return Mode(word)
    except ValueError:
        raise UsageError(f"there is no mode {word!r}", f"known: {', '.join(Mode)}") from None


def _check(threads: Sequence[int], minutes: float | None) -> None:
    for count in threads:
        if count < 1:
            raise UsageError(f"{count} threads were asked for", "give 1 or more")
    if minutes is not None and not 0 < minutes < float("inf"):
        raise UsageError(f"a sustained run of {minutes:g} minutes was asked for", "give more than 0, such as 30")


def _plan(
    artifacts: Artifact | Path | str | Sequence[Artifact | Path | str],
    targets: Sequence[str],
    threads: Sequence[int],
    settings: Settings,
    progress: Progress,
) -> list[_Work]:
    """Everything that can be refused is refused here, before the first measurement."""
    given = [artifacts] if isinstance(artifacts, Artifact | Path | str) else artifacts
    paths = dict.fromkeys(each.file if isinstance(each, Artifact) else Path(each) for each in given)
    found = [registry.get_target(target) for target in dict.fromkeys(targets)]
    if not paths or not found or not threads:
        raise UsageError("nothing to profile: no artifact, no target or no number of threads", "give one of each")
    loaded = [load_artifact(path) for path in paths]
    infos = [(target, _ready(target, loaded)) for target in found]
    places = [(target, info, _cooling(target, info)) for target, info in infos]
    works = []
    for artifact in loaded:
        progress(f"{artifact.file.name}: reading")
        described, skipped = describe_artifact(artifact)
        inputs = Inputs.of(artifact)
        for target, info, cooling in places:
            for count in dict.fromkeys(threads):
                case = Case(artifact, target, inputs, replace(settings, threads=count, inputs=inputs.origin))
                works.append(_work(case, described, info, cooling, skipped))
    return works


def _ready(target: Target, artifacts: Sequence[Artifact]) -> TargetInfo:
    info = target.describe()
    if not info.ready:
        raise TargetUnavailable(f"target {target.id} is not ready: {info.problem}", "ashore doctor shows what it needs")
    for artifact in artifacts:
        if artifact.backend not in info.backends:
            raise TargetUnavailable(
                f"target {target.id} runs no {artifact.backend} files, such as {artifact.file.name}",
                f"it runs: {', '.join(info.backends) or 'nothing'}",
            )
    return info


def _cooling(target: Target, info: TargetInfo) -> Cooling:
    """Computers are cooled by fans, and not waited for."""
    return Cooling(_reader(target, info) if info.kind is TargetKind.DEVICE else None, HOT_CELSIUS[info.kind])


def _work(
    case: Case, described: ProfiledArtifact, info: TargetInfo, cooling: Cooling, skipped: dict[str, str]
) -> _Work:
    result = Result(described, describe_target(info, case.artifact.backend), case.settings)
    watch = Watch(_reader(case.target, info), info.cores)
    return _Work(
        case,
        described,
        info,
        LatencyPass(case, watch),
        cooling,
        result,
        skipped=dict(skipped),
        notes=list(info.notes),
    )


def _reader(target: Target, info: TargetInfo) -> ReadText | None:
    if isinstance(target, ReadsFiles):
        return target.read_text
    return None if info.kind is TargetKind.DEVICE else read_local


def _time_all(works: Sequence[_Work], progress: Progress) -> None:
    for turn in range(max(work.case.settings.repeats for work in works)):
        for work in works:
            if not work.emulated and turn < work.case.settings.repeats:
                _time_one(work, turn, progress)


def _time_one(work: _Work, turn: int, progress: Progress) -> None:
    work.cooling.wait(lambda stage: progress(f"{work.title}: {stage}"))
    progress(f"{work.title}: latency, process {turn + 1} of {work.case.settings.repeats}")
    work.latency.repeat()


def _judge_paces(works: Sequence[_Work]) -> None:
    """By the best that is known of each machine, to which all of its results contribute first."""
    groups: dict[tuple[str, str], list[_Work]] = {}
    for work in works:
        if work.latency.pace.rounds_ns:
            groups.setdefault((work.info.id, work.latency.pace.work), []).append(work)
    for (_, name), group in groups.items():
        best_ns = learn_best(group[0].result.target, name, [typical_ns(work.latency.pace.rounds_ns) for work in group])
        for work in group:
            work.pace = Pace(name, tuple(work.latency.pace.rounds_ns), best_ns)


def _measure_rest(work: _Work, ops: bool, minutes: float | None, progress: Progress) -> None:
    _keep_latency(work)
    progress(f"{work.title}: memory")
    memory = work.attempt("memory", lambda: measure_memory(work.case))
    progress(f"{work.title}: instructions")
    instructions = work.attempt("instructions", lambda: count_instructions(work.case))
    if memory is not None and work.emulated:
        memory = replace(memory, method=f"{memory.method} of the emulator's process, its own memory included")
    work.result = replace(work.result, memory=memory, instructions=instructions)
    if memory is not None and memory.planned_bytes is None:
        work.skipped["memory.planned_bytes"] = "the engine does not tell what it plans"
    _measure_ops(work, ops, progress)
    _measure_sustained(work, minutes, progress)


def _keep_latency(work: _Work) -> None:
    if work.emulated:
        work.skipped |= dict.fromkeys(("latency_ns", "load_ns", "first_run_ns"), _EMULATED)
        work.skipped["environment"] = "the machine's state matters to times alone"
        return
    samples, repeats, thinned = work.latency.thinned()
    environment, absent = work.latency.watch.environment()
    work.skipped |= absent
    if work.pace is None and work.latency.pace.absent:
        work.skipped["environment.pace"] = work.latency.pace.absent
    work.notes += [thinned] if thinned else []
    work.notes += [_NOT_COOL] if work.cooling.gave_up else []
    target = replace(
        work.result.target, runner=work.latency.runner or None, runtime_version=work.latency.engine_version or "unknown"
    )
    work.result = replace(
        work.result,
        target=target,
        load_ns=round(median(repeat.load_ns for repeat in repeats)),
        first_run_ns=round(median(repeat.first_run_ns for repeat in repeats)),
        latency_ns=samples,
        repeats=repeats,
        environment=replace(environment, pace=work.pace),
    )
    _keep_best_latency(work)


def _keep_best_latency(work: _Work) -> None:
    latency = latency_of(work.result)
    if latency is not None:
        best_ns = learn_best_latency(work.result, latency.median_ns)
        work.result = replace(work.result, environment=replace(work.result.environment, best_latency_ns=best_ns))


def _measure_ops(work: _Work, wanted: bool, progress: Progress) -> None:
    if work.emulated or not wanted:
        work.skipped["ops"] = _EMULATED if work.emulated else "not asked for; --ops times them"
        return
    progress(f"{work.title}: operators")
    measured = work.attempt("ops", lambda: measure_ops(work.case))
    if measured is not None:
        work.result = replace(work.result, ops=measured[0], ops_pass=measured[1])


def _measure_sustained(work: _Work, minutes: float | None, progress: Progress) -> None:
    if work.emulated or minutes is None:
        work.skipped["sustained"] = _EMULATED if work.emulated else "not asked for; --sustained MIN measures it"
        return
    progress(f"{work.title}: {minutes:g} minutes without a pause")
    work.result = replace(work.result, sustained=measure_sustained(work.case, minutes))


def _finished(work: _Work) -> Result:
    return replace(work.result, warnings=(*work.notes, *warnings_of(work.result)), skipped=work.skipped)


def _versions() -> dict[str, str]:
    from ashore import __version__

    return {"ashore": __version__, "python": platform.python_version()}
