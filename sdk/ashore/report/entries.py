"""What a report is made of: results, numbered artifacts, and the conditions under which results may be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ashore.profiling.statistics import Latency, latency_of
from ashore.report.figures import plural
from ashore.report.paces import told_of_paces
from ashore.types.profile import Mode, Profile, Result
from ashore.types.target import TargetKind

EMULATED = "an emulator's time is not the model's; instructions stand in for it"


class Source(NamedTuple):
    """A profile and the name that readers know it by."""

    name: str
    profile: Profile


@dataclass(frozen=True)
class Subject:
    """An artifact, told apart by its number wherever it appears.

    ``title`` is unique within a report; so is ``label``, which leaves out the name that all artifacts share.
    """

    number: int
    title: str
    label: str
    sha256: str


@dataclass(frozen=True)
class Conditions:
    """Figures under the same conditions may be compared; all others may not. ``title`` is unique within a report."""

    target: str
    kind: TargetKind
    cpu: str
    abi: str
    os: str
    mode: Mode
    threads: int
    title: str = ""


@dataclass(frozen=True)
class Entry:
    """One result. That of an emulated target has no times: whatever the profile holds, they are not the model's.

    ``place``: how many entries stand before it in the report.
    """

    place: int
    result: Result
    latency: Latency | None
    subject: Subject
    conditions: Conditions
    source: str

    @property
    def op_runs(self) -> int:
        """Runs over which the operators' times are summed."""
        ops = self.result.ops or ()
        known = self.result.ops_pass.runs if self.result.ops_pass else min((op.calls for op in ops), default=1)
        return max(known, 1)


def collect(sources: Sequence[Source]) -> tuple[Entry, ...]:
    """Entries of all profiles, in order, grouped by conditions."""
    found = told_of_paces([(source.name, _timeless(each)) for source in sources for each in source.profile.results])
    subjects = _subjects([result for _, result in found])
    titled = _titled([_conditions(result) for _, result in found])
    order = list(titled.values())
    ranked = sorted(found, key=lambda each: order.index(titled[_conditions(each[1])]))
    return tuple(
        Entry(place, result, latency_of(result), subjects[_key(result)], titled[_conditions(result)], name)
        for place, (name, result) in enumerate(ranked)
    )


def by_conditions(entries: Sequence[Entry]) -> dict[Conditions, list[Entry]]:
    """In the order of the report."""
    groups: dict[Conditions, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.conditions, []).append(entry)
    return groups


def by_target(entries: Sequence[Entry]) -> dict[Conditions, list[Entry]]:
    """As :func:`by_conditions`, with all thread counts together; the keys are the first conditions of each group."""
    groups: dict[Conditions, list[Entry]] = {}
    for entry in entries:
        same = (known for known in groups if _machine(known) == _machine(entry.conditions))
        groups.setdefault(next(same, entry.conditions), []).append(entry)
    return groups


def _timeless(result: Result) -> Result:
    if result.target.kind is not TargetKind.EMULATOR:
        return result
    skipped = {"latency_ns": EMULATED, "load_ns": EMULATED, "first_run_ns": EMULATED, **result.skipped}
    return replace(
        result,
        load_ns=None,
        first_run_ns=None,
        latency_ns=None,
        repeats=(),
        ops=None,
        ops_pass=None,
        sustained=None,
        skipped=skipped,
    )


def _key(result: Result) -> tuple[str, str]:
    return result.title, result.artifact.sha256


def _subjects(results: Sequence[Result]) -> dict[tuple[str, str], Subject]:
    keys = list(dict.fromkeys(_key(result) for result in results))
    titles = [title for title, _ in keys]
    shared = _shared_name(results)
    subjects = {}
    for number, (title, sha) in enumerate(keys, start=1):
        unique = title if titles.count(title) == 1 else f"{title} ({sha[:8]})"
        subjects[title, sha] = Subject(number, unique, unique.removeprefix(f"{shared}."), sha)
    return subjects


def _shared_name(results: Sequence[Result]) -> str:
    names = {result.artifact.name for result in results}
    whole = all(result.artifact.precision for result in results)
    return names.pop() if len(names) == 1 and whole else ""


def _conditions(result: Result) -> Conditions:
    target, settings = result.target, result.settings
    return Conditions(target.id, target.kind, target.cpu, target.abi, target.os, settings.mode, settings.threads)


def _titled(conditions: Sequence[Conditions]) -> dict[Conditions, Conditions]:
    """Each with a title that names the machine and the mode only where it must."""
    distinct = sorted(dict.fromkeys(conditions), key=lambda each: each.threads)
    machines = list(dict.fromkeys(_machine(each) for each in conditions))
    ordered = sorted(distinct, key=lambda each: machines.index(_machine(each)))
    titles = {each: _title(each, ordered) for each in ordered}
    return {each: replace(each, title=title) for each, title in titles.items()}


def _title(conditions: Conditions, all_of_them: Sequence[Conditions]) -> str:
    alike = [other for other in all_of_them if other.target == conditions.target]
    words = [conditions.target]
    if len({(other.cpu, other.abi, other.os) for other in alike}) > 1:
        words.append(f"{conditions.cpu}, {conditions.abi}, {conditions.os}")
    words.append(plural(conditions.threads, "thread"))
    if len({other.mode for other in all_of_them}) > 1:
        words.append(f"{conditions.mode} mode")
    return " · ".join(words)


def _machine(conditions: Conditions) -> Conditions:
    return replace(conditions, threads=0, title="")
