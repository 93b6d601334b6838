"""Profiles that met a slower machine than others in the same report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median_low

from ashore.profiling.noise import PACE_LIMIT
from ashore.profiling.paces import pace_ns
from ashore.types.profile import Result

Found = Sequence[tuple[str, Result]]
"""Results, each with the name of its profile."""

_Machine = tuple[str, str, str]
"""Target, processor, and the work that told its pace."""


def told_of_paces(found: Found) -> list[tuple[str, Result]]:
    """The same results, with a warning where their profile's machine was slower than it was for another profile."""
    paces = _by_machine(found)
    told = []
    for name, result in found:
        machine = _machine(result)
        warning = _warning(name, paces[machine]) if machine else None
        told.append((name, replace(result, warnings=(*result.warnings, warning)) if warning else result))
    return told


def _by_machine(found: Found) -> dict[_Machine, dict[str, float]]:
    """By machine and profile, the pace that was typical, in ns."""
    groups: dict[_Machine, dict[str, list[float]]] = {}
    for name, result in found:
        machine, pace = _machine(result), result.environment.pace
        if machine and pace:
            groups.setdefault(machine, {}).setdefault(name, []).append(pace_ns(pace))
    return {machine: {name: median_low(each) for name, each in names.items()} for machine, names in groups.items()}


def _machine(result: Result) -> _Machine | None:
    pace = result.environment.pace
    return (result.target.id, result.target.cpu, pace.work) if pace else None


def _warning(name: str, paces_ns: dict[str, float]) -> str | None:
    fastest = min(paces_ns, key=lambda each: paces_ns[each])
    slower = paces_ns[name] / paces_ns[fastest] - 1
    if slower <= PACE_LIMIT:
        return None
    return f"slow: {name} was measured while the machine ran {slower:.0%} slower than for {fastest}; profile both anew"
