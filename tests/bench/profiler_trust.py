"""Whether the profiler's figures repeat, whether its other passes leave its latency alone, and how long it takes."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from effort import Effort
from files import BACKENDS, Files
from processes import ashore_command, cost_of
from runners import fed
from tables import Row, Section, Target
from turns import Estimate, Turns, estimate, exactly, in_turns

import ashore
from ashore.pipeline.artifacts import load_artifact
from ashore.profiling.inputs import Inputs
from ashore.profiling.noise import disturbances, warnings_of
from ashore.profiling.passes import Case, count_instructions, measure_memory, measure_ops
from ashore.profiling.statistics import latency_of
from ashore.registry import get_target
from ashore.types.profile import Mode, Profile, Result, Settings

_ALONE, _BESIDE = "latency pass alone", "with operators and memory"
_REPEATS, _WARMUP, _RUNS = 3, 3, 20
_EMULATOR = "emulator:cortex-a76"
_IN_A_ROW, _MORE = 5, 4
"""A file of which too few profiles were quiet is profiled up to so many times more often."""
_SAME_WORK = Target("{:.4f}x", 1.001, 0.999)
_APART, _UNCHANGED, _DURATION = Target("{:.1%}", 0.05), Target("{:.3f}x", 1.02, 0.98), Target("{:.1f} s", 60.0)


def sections(files: Files, effort: Effort) -> list[Section]:
    paths = [path for _, _, path in files.artifacts()]
    profiles: list[Profile] = []
    medians_ms: dict[str, list[list[float]]] = {_ALONE: [], _BESIDE: []}

    def plain() -> float:
        begin = time.perf_counter()
        profiles.append(_profile(paths, files.folder))
        return time.perf_counter() - begin

    def alone() -> float:
        medians_ms[_ALONE].append(_latency_pass_alone(paths, files))
        return math.nan

    def beside() -> float:
        medians_ms[_BESIDE].append(_medians_ms(_profile(paths, files.folder, "--ops").results))
        return math.nan

    walls_s = in_turns({"plain": plain, _ALONE: alone, _BESIDE: beside}, effort.profiles).figures["plain"]
    timed = _independence(profiles[0], medians_ms)
    by_file = [[profile.results[index] for profile in profiles] for index in range(len(paths))]
    for path, results in zip(paths, by_file, strict=True):
        _wait_for_quiet(results, path, files.folder, _MORE * effort.profiles)
    repeated = _repeatability(_judged_anew(by_file))
    return [repeated, timed, _same_work(files), _duration(walls_s, len(paths))]


def _wait_for_quiet(results: list[Result], path: Path, folder: Path, most: int) -> None:
    """Profile a file alone until enough of its profiles did not warn, at most so many times."""
    for _ in range(most):
        if len(_quiet(*_judged_anew([results]))) >= _IN_A_ROW:
            return
        results += _profile([path], folder).results


def _quiet(results: Sequence[Result]) -> list[Result]:
    return [each for each in results if not disturbances(each.warnings)]


def _profile(paths: Sequence[Path], folder: Path, *words: str) -> Profile:
    """By the command, so that all is fresh."""
    out = folder / "profile.json"
    cost_of(ashore_command("profile", *map(str, paths), *words, "-o", str(out)))
    return ashore.load_profile(out)


def _medians_ms(results: Sequence[Result]) -> list[float]:
    return [latency.median_ns / 1e6 for result in results if (latency := latency_of(result))]


def _latency_pass_alone(paths: Sequence[Path], files: Files) -> list[float]:
    """What a profile's latency pass does, by hand, with nothing before or after."""
    samples: list[list[int]] = [[] for _ in paths]
    for _ in range(_REPEATS):
        for kept, path in zip(samples, paths, strict=True):
            with fed("native", path, files) as session:
                session.repeat(_WARMUP)
                kept += session.repeat(_RUNS)
    return [float(np.median(each)) / 1e6 for each in samples]


def _judged_anew(by_file: Sequence[Sequence[Result]]) -> list[list[Result]]:
    """By the best that any of them knew: the first one of a machine has nothing to hold its own against."""
    known = [pace.best_ns for results in by_file for result in results if (pace := result.environment.pace)]
    best_ns = min(known, default=0)
    return [[_held_to(best_ns, _best_latency_ns(results), each) for each in results] for results in by_file]


def _best_latency_ns(results: Sequence[Result]) -> int | None:
    return min((best for each in results if (best := each.environment.best_latency_ns)), default=None)


def _held_to(best_ns: int, best_latency_ns: int | None, result: Result) -> Result:
    pace = result.environment.pace
    held = pace and replace(pace, best_ns=best_ns)
    environment = replace(result.environment, pace=held, best_latency_ns=best_latency_ns)
    judged = replace(result, environment=environment)
    return replace(judged, warnings=warnings_of(judged))


def _repeatability(by_file: Sequence[Sequence[Result]]) -> Section:
    """Of the profiles that did not warn of noise, where there are enough of them: the claim is for a quiet machine."""
    rows = []
    for results in by_file:
        quiet = _quiet(results)
        enough = len(quiet) >= _IN_A_ROW
        medians = _medians_ms(quiet if enough else results)
        kind = f"{len(quiet)} quiet of {len(results)}" if enough else "all, too few quiet"
        shown = (f"{min(medians):.3f}", f"{max(medians):.3f}")
        rows.append(Row(f"{results[0].title} ({kind})", *shown, _apart(medians), _APART))
    title = f"Medians of {_IN_A_ROW} fast profiles in a row, each in processes of its own, that did not warn of noise"
    told = tuple(_rejected_of(results) for results in by_file)
    return Section(title, ("p50, ms", "least of all", "most of all"), tuple(rows), told)


def _apart(medians: Sequence[float]) -> Estimate:
    """The middle of how far any five in a row are apart, and between which figures 95 % of the fives lie."""
    fives = [medians[start : start + _IN_A_ROW] for start in range(max(1, len(medians) - _IN_A_ROW + 1))]
    spreads = [(max(five) - min(five)) / min(five) for five in fives]
    low, middle, high = np.percentile(spreads, [2.5, 50, 97.5])
    return Estimate(float(middle), float(low), float(high))


def _rejected_of(results: Sequence[Result]) -> str:
    rejected = [result for result in results if disturbances(result.warnings)]
    if not rejected:
        return f"{results[0].title}: none of {len(results)} warned"
    counts = Counter(kind for result in rejected for kind in disturbances(result.warnings))
    told = ", ".join(f"{kind} {count}" for kind, count in counts.most_common())
    medians = _medians_ms(rejected)
    spread = f"{min(medians):.3f} to {max(medians):.3f} ms, {max(medians) / min(medians) - 1:.1%} apart"
    return f"{results[0].title}: {len(rejected)} of {len(results)} warned ({told}), their medians {spread}"


def _independence(profile: Profile, medians_ms: Mapping[str, Sequence[Sequence[float]]]) -> Section:
    rows = []
    for index, result in enumerate(profile.results):
        turns = Turns({name: [each[index] for each in medians] for name, medians in medians_ms.items()})
        shown = [f"{turns.median(name):.3f}" for name in (_ALONE, _BESIDE)]
        rows.append(Row(result.title, *shown, turns.ratio(_BESIDE, _ALONE), _UNCHANGED))
    title = "Latency in a profile with all passes against that of a latency pass alone"
    return Section(title, ("p50, ms", "alone", "all passes"), tuple(rows))


def _same_work(files: Files) -> Section:
    """What clocks cannot show on a machine that varies: other passes leave nothing behind that a run would meet."""
    rows = []
    for backend in BACKENDS:
        artifact = load_artifact(files.artifact(backend, "int8"))
        case = Case(artifact, get_target(_EMULATOR), Inputs.of(artifact), Settings(Mode.FAST, 1, _WARMUP, _RUNS))
        alone = count_instructions(case).per_run
        measure_memory(case)
        measure_ops(case)
        beside = count_instructions(case).per_run
        shown = (f"{alone / 1e6:.4f}", f"{beside / 1e6:.4f}")
        rows.append(Row(f"{backend} int8", *shown, exactly(beside / alone), _SAME_WORK))
    title = f"Instructions of a run before and after the passes for memory and operators, {_EMULATOR}"
    return Section(title, ("millions a run", "before", "after"), tuple(rows))


def _duration(walls_s: Sequence[float], artifacts: int) -> Section:
    row = Row(f"{artifacts} artifacts", "", "", estimate(walls_s), _DURATION)
    return Section("A fast profile on the host, whole command", ("ashore profile", "", ""), (row,))
