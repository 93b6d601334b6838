"""Which results of two profiles were measured under the same conditions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from ashore.errors import UsageError
from ashore.profiling.noise import PACE_LIMIT, disturbances
from ashore.profiling.paces import slowdown_between
from ashore.types.profile import Profile, Result
from ashore.types.target import TargetKind

_Artifact = tuple[str, str, str | None]
_Conditions = tuple[str, str, int, str]
"""Target, its kind, threads, mode."""


@dataclass(frozen=True)
class Pair:
    """``notes``: what differs besides and should be known, in sentences."""

    base: Result
    new: Result
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Pairing:
    """``missing`` and ``added`` name results that only the base, or only the new profile, has."""

    pairs: tuple[Pair, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]


def pair_up(base: Profile, new: Profile) -> Pairing:
    """Pair results by artifact, target, threads and mode.

    Raises:
        UsageError: nothing can be paired, or a pair must not be compared; the message says why.
    """
    crossed = _crossed(base, new)
    first, second = (_by_key(profile, crossed) for profile in (base, new))
    common = [key for key in first if key in second]
    if not common:
        _refuse(base, new, crossed)
    pairs = tuple(_pair(first[key], second[key]) for key in common)
    missing = tuple(name_of(result) for key, result in first.items() if key not in second)
    added = tuple(name_of(result) for key, result in second.items() if key not in first)
    return Pairing(pairs, missing, added)


def name_of(result: Result) -> str:
    """``net.litert.int8 on host, 2 threads, fast mode``."""
    threads = result.settings.threads
    many = "s" if threads > 1 else ""
    return f"{result.title} on {result.target.id}, {threads} thread{many}, {result.settings.mode} mode"


def _crossed(base: Profile, new: Profile) -> bool:
    """Whether both hold one artifact of the same model, in different precisions or on different backends."""
    before, after = ({_artifact(result) for result in profile.results} for profile in (base, new))
    return len(before) == len(after) == 1 and before != after and {each[0] for each in before | after} == {_name(base)}


def _name(profile: Profile) -> str:
    return profile.results[0].artifact.name


def _artifact(result: Result) -> _Artifact:
    return result.artifact.name, result.artifact.backend, result.artifact.precision


def _conditions(result: Result) -> _Conditions:
    return result.target.id, result.target.kind, result.settings.threads, result.settings.mode


def _by_key(profile: Profile, crossed: bool) -> dict[tuple[_Artifact | None, _Conditions], Result]:
    """The last result wins where a profile has several of the same kind."""
    return {(None if crossed else _artifact(result), _conditions(result)): result for result in profile.results}


def _refuse(base: Profile, new: Profile, crossed: bool) -> NoReturn:
    """Name the first thing that stands between two results of the same artifact."""
    for before in base.results:
        for after in new.results:
            if crossed or _artifact(before) == _artifact(after):
                raise UsageError(
                    f"{before.title} cannot be compared: {_obstacle(before, after)}",
                    "measure both with the same --target, --threads and mode",
                )
    held = [
        ", ".join(dict.fromkeys(result.title for result in profile.results)) or "nothing" for profile in (base, new)
    ]
    raise UsageError(
        f"the two profiles have no artifact in common: the base holds {held[0]}, the new one {held[1]}",
        "profile the same artifacts; different precisions of a model are compared from profiles of one artifact each",
    )


def _obstacle(before: Result, after: Result) -> str:
    pairs = {
        "kinds of target": (before.target.kind, after.target.kind),
        "targets": (before.target.id, after.target.id),
        "numbers of threads": (before.settings.threads, after.settings.threads),
        "modes": (before.settings.mode, after.settings.mode),
    }
    what, (first, second) = next((what, values) for what, values in pairs.items() if values[0] != values[1])
    return f"different {what}, {first} in the base and {second} in the new profile"


def _pair(before: Result, after: Result) -> Pair:
    _check_processor(before, after)
    if before.target.kind is TargetKind.EMULATOR and not (before.instructions and after.instructions):
        lacking = before if before.instructions is None else after
        why = lacking.skipped.get("instructions", "they were not counted")
        raise UsageError(
            f"{name_of(lacking)} has no instruction counts ({why}), and the time of an emulator is not compared",
            "profile with one thread and the emulator's instruction counter; ashore doctor shows what it needs",
        )
    return Pair(before, after, tuple(_notes(before, after)))


def _check_processor(before: Result, after: Result) -> None:
    first, second = before.target.cpu, after.target.cpu
    if before.target.kind is not TargetKind.EMULATOR and first != second:
        raise UsageError(
            f"{before.title} cannot be compared: it was measured on {first!r} in the base and on {second!r} in the new "
            "profile",
            "measure both on the same machine, or compare instructions on an emulator target",
        )


def _notes(before: Result, after: Result) -> Iterator[str]:
    told = {
        "precision": (before.artifact.precision, after.artifact.precision),
        "backend": (before.artifact.backend, after.artifact.backend),
        "engine version": (before.target.runtime_version, after.target.runtime_version),
        "runner": (before.target.runner, after.target.runner),
        "inputs": (before.settings.inputs, after.settings.inputs),
    }
    for what, (first, second) in told.items():
        if first != second:
            yield f"the {what} differs: {first or 'unknown'} in the base, {second or 'unknown'} in the new profile"
    disturbed = [
        f"{where}: {', '.join(kinds)}"
        for where, result in (("base", before), ("new profile", after))
        if (kinds := disturbances(result.warnings))
    ]
    if disturbed:
        yield f"measured on a disturbed machine ({'; '.join(disturbed)})"
    drift = slowdown_between(before.environment.pace, after.environment.pace) or 0.0
    if abs(drift) > PACE_LIMIT:
        how = "slower" if drift > 0 else "faster"
        yield f"the machine itself ran {abs(drift):.0%} {how} for the new profile: profile both again in one sitting"
