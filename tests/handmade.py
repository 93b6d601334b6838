"""Results with figures that a test sets, and nothing else in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ashore.types.conversion import Delegation, UndelegatedOp
from ashore.types.profile import (
    ColdRepeat,
    Environment,
    GraphCounts,
    InstructionCounts,
    Memory,
    Mode,
    OpCost,
    OpsPass,
    Pace,
    ParityFigures,
    Profile,
    ProfiledArtifact,
    ProfiledTarget,
    Result,
    Settings,
)
from ashore.types.target import TargetKind

MS, MB = 1_000_000, 1_000_000


def artifact(precision: str | None = "fp32", backend: str = "fake", name: str = "net", **more: Any) -> ProfiledArtifact:
    sqnr_db = more.pop("sqnr_db", 100.0)
    parity = None if sqnr_db is None else ParityFigures(8, sqnr_db, 0.999, 0.1, 0, 0, 15.0)
    return ProfiledArtifact(name, backend, "ab" * 32, more.pop("bytes", 4 * MB), precision, parity=parity, **more)


def target(
    kind: TargetKind = TargetKind.HOST, name: str = "host", cpu: str = "imagined", **more: Any
) -> ProfiledTarget:
    return ProfiledTarget(name, kind, cpu, "x86_64", "Linux", "1", "native", more.pop("cores", 4), **more)


EMULATOR = target(TargetKind.EMULATOR, "emulator:a76", "cortex-a76")
PHONE = target(TargetKind.DEVICE, "adb:1", "big and little")


def around(ms: float, runs: int = 20, jitter: float = 0.02) -> tuple[int, ...]:
    """Runs whose median is ``ms``, in pairs above and below it by up to the share ``jitter``."""
    away = [jitter * (0.618 * (index // 2 + 1) % 1.0) * (1 if index % 2 else -1) for index in range(runs)]
    return tuple(round(ms * MS * (1 + share)) for share in away)


def result(ms: float | Sequence[Sequence[int]] | None = 10.0, **more: Any) -> Result:
    """``ms`` is the median of three processes' runs, or the samples of each process."""
    groups = ((around(ms),) * 3 if isinstance(ms, float | int) else ms) if ms is not None else ()
    mode, threads = more.pop("mode", Mode.FAST), more.pop("threads", 1)
    peak_bytes = more.pop("peak_bytes", 20 * MB)
    return Result(
        artifact=more.pop("artifact", artifact()),
        target=more.pop("target", target()),
        settings=more.pop("settings", Settings(mode, threads, warmup=3, runs=20, repeats=3)),
        load_ns=5 * MS if groups else None,
        first_run_ns=20 * MS if groups else None,
        latency_ns=tuple(ns for group in groups for ns in group) or None,
        repeats=tuple(ColdRepeat(5 * MS, 20 * MS, len(group)) for group in groups),
        memory=None if peak_bytes is None else Memory(10 * MB, 14 * MB, peak_bytes, "imagined"),
        **more,
    )


def at_pace(pace_us: int, ms: float = 10.0, work: str = "imagined", best_us: int = 150) -> Result:
    """On a machine that takes ``pace_us`` for ``work``."""
    pace = Pace(work, (pace_us * 1000,) * 48, best_us * 1000)
    return result(ms, environment=Environment(pace=pace))


def profile(*results: Result) -> Profile:
    return Profile(results, "2026-01-31T12:00:00+00:00", {"ashore": "0.1.0"})


def counted(per_run: int) -> InstructionCounts:
    return InstructionCounts(per_run, {"rest": per_run}, (per_run,) * 3, "imagined")


def op(name: str, ms: float, delegated: bool = True, runs: int = 20, **more: Any) -> OpCost:
    return OpCost(name, more.pop("type", name.partition(" #")[0]), delegated, round(ms * MS * runs), runs, **more)


def timed_ops(*ops: OpCost, ms: float, runs: int = 20, jitter: float = 0.02) -> dict[str, Any]:
    """The fields of a result whose runs of ``ms`` consist of ``ops``."""
    return {"ops": ops, "ops_pass": OpsPass(around(ms, runs, jitter))}


def delegation(delegated: int, total: int, partitions: int = 1, *undelegated: tuple[str, int]) -> Delegation:
    return Delegation(delegated, total, partitions, tuple(UndelegatedOp(*each) for each in undelegated))


def graph(**counts: int) -> GraphCounts:
    kinds = {"quantize": 0, "dequantize": 0, "transposes": 0, "copies": 0} | counts
    return GraphCounts({"conv": 3}, **kinds)
