"""A profile as a trace in the Trace Event Format, which ui.perfetto.dev opens.

Each result is a process. A profile keeps how long things took, not when: in the trace they stand one after the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from ashore.errors import UsageError
from ashore.report.entries import Entry
from ashore.types.profile import ColdRepeat

Event = dict[str, Any]
_RUNS, _OPERATORS = 1, 2
_MIN_DURATION_US = 0.001


def trace_text(entries: Sequence[Entry]) -> str:
    """JSON. Raises UsageError where no result holds times."""
    timed = [entry for entry in entries if entry.result.latency_ns or entry.result.ops]
    if not timed:
        raise UsageError(
            "there is nothing to trace: no result holds times",
            "an emulator's time is not the model's; profile on host or on a device",
        )
    events = [event for process, entry in enumerate(timed, start=1) for event in _process(process, entry)]
    left_out = [f"{entry.subject.title} on {entry.conditions.title}" for entry in entries if entry not in timed]
    about = {"schema": "ashore.profile/1", "order": "durations are measured, starts are not", "left_out": left_out}
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms", "otherData": about}, allow_nan=False) + "\n"


def _process(process: int, entry: Entry) -> Iterator[Event]:
    yield _name("process_name", process, 0, f"{entry.subject.title} on {entry.conditions.title}")
    yield {"ph": "M", "name": "process_sort_index", "pid": process, "tid": 0, "args": {"sort_index": process}}
    if entry.result.latency_ns:
        yield _name("thread_name", process, _RUNS, "runs")
        yield from _runs(process, entry)
    if entry.result.ops:
        yield _name("thread_name", process, _OPERATORS, "operators of one run, in the mean")
        yield from _operators(process, entry)


def _runs(process: int, entry: Entry) -> Iterator[Event]:
    result, clock_ns, number = entry.result, 0, 0
    repeats: Sequence[ColdRepeat | None] = [repeat for repeat in result.repeats if repeat.runs] or [None]
    for index, (repeat, samples) in enumerate(zip(repeats, result.samples_by_repeat, strict=True)):
        steps = [("load", repeat.load_ns), ("first run", repeat.first_run_ns)] if repeat else []
        for name, ns in steps:
            yield _slice(name, "start", process, _RUNS, clock_ns, ns, {"process": index + 1})
            clock_ns += ns
        for ns in samples:
            number += 1
            yield _slice("run", "latency", process, _RUNS, clock_ns, ns, {"run": number, "process": index + 1})
            clock_ns += ns
    yield from _memory(process, entry, clock_ns)


def _memory(process: int, entry: Entry, end_ns: int) -> Iterator[Event]:
    """Before the load, after it and at the end: the pass that measured them was another one, in the same order."""
    memory = entry.result.memory
    if memory is None:
        return
    loaded_at = entry.result.repeats[0].load_ns if entry.result.repeats else entry.result.load_ns or 0
    for at_ns, amount in ((0, memory.baseline_bytes), (loaded_at, memory.loaded_bytes), (end_ns, memory.peak_bytes)):
        yield _event("C", "memory", "memory", process, 0, at_ns) | {"args": {"bytes": amount}}


def _operators(process: int, entry: Entry) -> Iterator[Event]:
    runs, clock_ns = entry.op_runs, 0.0
    total = sum(op.ns for op in entry.result.ops or ()) / runs
    yield _slice("one run", "operators", process, _OPERATORS, 0, total, {"runs": runs})
    for op in entry.result.ops or ():
        ns = op.ns / runs
        told = {"type": op.type, "delegated": op.delegated, "calls": op.calls, "total_ns": op.ns, "module": op.module}
        where = "delegate" if op.delegated else "outside the delegate"
        yield _slice(op.name, where, process, _OPERATORS, clock_ns, ns, told)
        clock_ns += ns


def _slice(name: str, category: str, process: int, thread: int, at_ns: float, ns: float, told: Event) -> Event:
    args = {key: value for key, value in told.items() if value is not None}
    duration = max(ns / 1000, _MIN_DURATION_US)
    return _event("X", name, category, process, thread, at_ns) | {"dur": duration, "args": args}


def _event(phase: str, name: str, category: str, process: int, thread: int, at_ns: float) -> Event:
    """Times of the format are microseconds."""
    return {"ph": phase, "name": name, "cat": category, "pid": process, "tid": thread, "ts": at_ns / 1000}


def _name(kind: str, process: int, thread: int, name: str) -> Event:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}}
