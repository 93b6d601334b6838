"""Why is it not faster? A pure function of a profile: every answer comes with the figures it was read from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ashore.profiling.causes import (
    NOTABLE_SHARE,
    Cause,
    CauseKind,
    OpTable,
    conversions,
    heaviest,
    moves,
    partitions,
    plural,
    undelegated,
)
from ashore.profiling.noise import SPREAD_LIMIT
from ashore.profiling.operators import Kind, kind_of
from ashore.profiling.statistics import Ratio, latency_of, ratio_of, summarise
from ashore.types.profile import OpCost, Profile, Result

_SLOWER = 1.1
_WELL_EXPLAINED = 0.9
_POOR_EFFICIENCY = 0.7
_FLOATS = ("fp32", "fp16")


@dataclass(frozen=True)
class Explanation:
    """Of one result. ``causes``: the costliest first; ``best``: the single change that would help most, if any."""

    result: Result
    verdict: str
    causes: tuple[Cause, ...]
    best: Cause | None

    @property
    def title(self) -> str:
        threads = self.result.settings.threads
        return f"{self.result.title} on {self.result.target.id}, {plural(threads, 'thread')}"


def explain(profile: Profile) -> tuple[Explanation, ...]:
    """One explanation a result. Results of the same model beside it (in float, with other threads) add evidence."""
    return tuple(_explain(result, profile) for result in profile.results)


def _explain(result: Result, profile: Profile) -> Explanation:
    table, float_result = OpTable.of(result), _in_float(result, profile)
    found = [
        *undelegated(result, table),
        *conversions(result, table),
        *moves(result, table),
        *partitions(result, table),
        *_slow_layers(result, table, float_result),
        *_threads(result, profile),
    ]
    causes = tuple(sorted(found, key=lambda cause: -(cause.cost_ns or 0.0)))
    return Explanation(result, _verdict(result, float_result, table, causes), causes, _best(causes, _run_ns(result)))


def _run_ns(result: Result) -> float | None:
    latency = latency_of(result)
    return latency.median_ns if latency else None


def _best(causes: tuple[Cause, ...], run_ns: float | None) -> Cause | None:
    timed = [cause for cause in causes if cause.cost_ns is not None and cause.cost_ns > NOTABLE_SHARE * (run_ns or 0.0)]
    return timed[0] if timed else None


def _conditions(result: Result) -> tuple[object, ...]:
    return result.artifact.name, result.target.id, result.settings.threads, result.settings.mode


def _in_float(result: Result, profile: Profile) -> Result | None:
    """The fp32 result of the same model and backend under the same conditions."""
    if result.artifact.precision is None or result.artifact.precision in _FLOATS:
        return None
    return next(
        (
            other
            for other in profile.results
            if other.artifact.precision == "fp32"
            and other.artifact.backend == result.artifact.backend
            and _conditions(other) == _conditions(result)
        ),
        None,
    )


def _verdict(result: Result, float_result: Result | None, table: OpTable | None, causes: tuple[Cause, ...]) -> str:
    parts = [*_against_float(result, float_result), *_without_dot_products(result)]
    if table:
        parts.append(f"operators explain {table.explained:.0%} of the run")
        if table.explained < _WELL_EXPLAINED:
            parts.append("the rest lies between them: calls, boundaries, the timing itself")
        elif not causes:
            parts.append(f"nothing but computing is in the way; the heaviest: {heaviest(table.costs)}")
        if float_result and not _quiet(result):
            parts.append("layers are not compared with fp32: the runs whose operators were timed scatter too much")
    elif "ops" in result.skipped:
        parts.append(f"operators were not timed ({result.skipped['ops']})")
    return "; ".join(parts) or "nothing stands out"


def _against_float(result: Result, float_result: Result | None) -> Iterator[str]:
    if float_result is None:
        return
    precision = result.artifact.precision
    speed = _speed(result, float_result)
    if speed:
        yield f"{precision} is {_times(speed)} as fast as fp32"
    counted, counts = float_result.instructions, result.instructions
    if counted and counts and counts.per_run:
        yield f"{precision} takes {counts.per_run / 1e6:.1f} M instructions, fp32 {counted.per_run / 1e6:.1f} M"


def _without_dot_products(result: Result) -> Iterator[str]:
    """On arm64, the instruction that makes int8 fast came with ARMv8.2."""
    quantized = (result.artifact.precision or "").startswith("int8")
    if quantized and result.instructions and result.instructions.by_class.get("dot_product") == 0:
        yield "no integer dot product ran: this processor has none, and int8 gains less without"


def _slow_layers(result: Result, table: OpTable | None, float_result: Result | None) -> Iterator[Cause]:
    """Layers that lost by quantization, found by pairing the computing operators of both files in their order."""
    float_table = OpTable.of(float_result) if float_result else None
    if table is None or float_table is None or float_result is None or not (_quiet(result) and _quiet(float_result)):
        return
    ours, theirs = _computing(table), _computing(float_table)
    if [_family(op) for op, _ in ours] != [_family(op) for op, _ in theirs]:
        return
    least_ns = NOTABLE_SHARE / 2 * table.run_ns
    slower = [
        (op, ns, float_ns)
        for (op, ns), (_, float_ns) in zip(ours, theirs, strict=True)
        if ns > _SLOWER * float_ns and ns - float_ns > least_ns
    ]
    if not slower:
        return
    slower.sort(key=lambda each: each[2] - each[1])
    told = [f"{op.module or op.name} {ns / 1e6:.3f} ms, in fp32 {float_ns / 1e6:.3f} ms" for op, ns, float_ns in slower]
    yield Cause(
        CauseKind.SLOW_LAYERS,
        f"{plural(len(slower), 'layer')} slower in {result.artifact.precision} than in fp32",
        "; ".join(told[:3]) + ("; …" if len(told) > 3 else ""),
        'keep them in float: a [[layers]] rule with precision = "fp32" in the recipe',
        sum(ns - float_ns for _, ns, float_ns in slower),
    )


def _quiet(result: Result) -> bool:
    """Whether the runs whose operators were timed agree: else single layers cannot be compared."""
    return result.ops_pass is not None and summarise([result.ops_pass.run_ns]).spread <= SPREAD_LIMIT


def _computing(table: OpTable) -> list[tuple[OpCost, float]]:
    return [(op, ns) for op, ns in table.costs if kind_of(op.type or op.name) is Kind.COMPUTE]


def _family(op: OpCost) -> str:
    """``Convolution (NHWC, QS8, QC8W) IGEMM`` is a convolution, as ``Convolution (NHWC, F32) GEMM`` is."""
    words = re.sub(r"\(.*?\)", " ", op.type or op.name).split()
    kernels = {"GEMM", "IGEMM", "DWCONV", "SPMM", "VMULCADDC"}
    return " ".join(word.lower() for word in words if word.upper() not in kernels and not word.startswith("#"))


def _threads(result: Result, profile: Profile) -> Iterator[Cause]:
    """Against the fewest threads that were measured."""
    same = [other for other in profile.results if _same_but_threads(other, result)]
    fewest = min(same, key=lambda other: other.settings.threads)
    more = result.settings.threads / fewest.settings.threads
    speed = _speed(result, fewest) if more > 1 else None
    if speed is None or speed.interval.high / more >= _POOR_EFFICIENCY:
        return
    before_ns, after_ns = _run_ns(fewest) or 0.0, _run_ns(result) or 0.0
    few, many = plural(fewest.settings.threads, "thread"), f"{result.settings.threads} threads"
    slower = speed.interval.high < 1
    yield Cause(
        CauseKind.THREADS,
        f"{many} are {_times(speed)} as fast as {few}; perfect scaling would be {more:g}x",
        f"{before_ns / 1e6:.3f} ms with {few}, {after_ns / 1e6:.3f} ms with {many}",
        f"take {few}: more are slower here" if slower else f"take {few}: more gain little here",
        after_ns - before_ns if slower else 0.0,
    )


def _speed(result: Result, other: Result) -> Ratio | None:
    """How many times as fast as ``other``; None where one of them was not timed."""
    latency = latency_of(result)
    if latency is None or not latency.median_ns or latency_of(other) is None:
        return None
    return ratio_of(result.samples_by_repeat, other.samples_by_repeat)


def _times(speed: Ratio) -> str:
    return f"{speed.value:.2f}x ({speed.interval.low:.2f} to {speed.interval.high:.2f})"


def _same_but_threads(other: Result, result: Result) -> bool:
    return (
        other.artifact == result.artifact
        and other.target.id == result.target.id
        and other.settings.mode == result.settings.mode
    )
