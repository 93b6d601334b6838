"""What can make a model slow, each found by one rule in measured figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ashore.profiling.operators import Kind, kind_of
from ashore.types.profile import OpCost, Result

NOTABLE_SHARE = 0.02
"""Of the run; what costs less is not worth a change."""
_NAMED = 3


class CauseKind(StrEnum):
    UNDELEGATED = "undelegated operators"
    CONVERSIONS = "quantize and dequantize"
    MOVES = "transposes and copies"
    PARTITIONS = "partitions"
    SLOW_LAYERS = "layers slower than in float"
    THREADS = "threads"


@dataclass(frozen=True)
class Cause:
    """``cost_ns``: what the change would save in one run at most; None where only counts are known, no times."""

    kind: CauseKind
    statement: str
    evidence: str
    change: str
    cost_ns: float | None = None


@dataclass(frozen=True)
class OpTable:
    """Operators with nanoseconds per run, and the mean run they are part of."""

    costs: tuple[tuple[OpCost, float], ...]
    run_ns: float

    @classmethod
    def of(cls, result: Result) -> OpTable | None:
        """None where the operators were not timed."""
        if result.ops is None or result.ops_pass is None or not result.ops_pass.runs:
            return None
        runs = result.ops_pass.runs
        return cls(tuple((op, op.ns / runs) for op in result.ops), sum(result.ops_pass.run_ns) / runs)

    @property
    def explained_ns(self) -> float:
        return sum(ns for _, ns in self.costs)

    @property
    def explained(self) -> float:
        """Share of the run that its operators account for."""
        return self.explained_ns / self.run_ns if self.run_ns else 0.0

    def share(self, ns: float) -> str:
        return f"{ns / 1e6:.3f} ms of {self.run_ns / 1e6:.3f} ms ({ns / self.run_ns:.0%})" if self.run_ns else "0 ms"


def undelegated(result: Result, table: OpTable | None) -> Iterator[Cause]:
    """Operators that run outside of XNNPACK, on plain kernels that are often many times slower."""
    delegation = result.artifact.delegation
    if delegation and delegation.total and not delegation.delegated:
        yield Cause(
            CauseKind.UNDELEGATED,
            f"none of the {plural(delegation.total, 'operator')} is delegated: the file was not lowered to XNNPACK",
            f"{table.share(table.explained_ns)} in plain kernels" if table else "counted in the file, not timed",
            "make the file with ashore convert, which lowers to XNNPACK",
            table.explained_ns if table else None,
        )
        return
    outside = [(op, ns) for op, ns in table.costs if not op.delegated] if table else []
    if table and outside:
        cost = sum(ns for _, ns in outside)
        yield Cause(
            CauseKind.UNDELEGATED,
            f"{plural(len(outside), 'operator')} outside of the delegate",
            f"{table.share(cost)}: {heaviest(outside)}",
            _change_of_undelegated(dict.fromkeys(op.type or op.name for op, _ in outside)),
            cost,
        )
    elif not table and delegation and delegation.undelegated:
        listed = ", ".join(f"{each.op} x{each.count}" for each in delegation.undelegated[:_NAMED])
        outside_count = delegation.total - delegation.delegated
        yield Cause(
            CauseKind.UNDELEGATED,
            f"{outside_count} of {delegation.total} operators outside of the delegate",
            f"counted in the file, not timed: {listed}",
            _change_of_undelegated(each.op for each in delegation.undelegated),
        )


def conversions(result: Result, table: OpTable | None) -> Iterator[Cause]:
    """Between float and int8; a pair in the middle of a graph means that what lies between them stayed float."""
    graph = result.artifact.graph
    counted = graph.quantize + graph.dequantize + graph.conversions if graph else 0
    if table:
        found = _of_kind(table, Kind.QUANTIZE, Kind.DEQUANTIZE, Kind.CONVERT)
        cost = sum(ns for _, ns in found)
        if found and cost >= NOTABLE_SHARE * table.run_ns:
            pairs = min(_count(found, Kind.QUANTIZE), _count(found, Kind.DEQUANTIZE))
            yield Cause(
                CauseKind.CONVERSIONS,
                f"{plural(len(found), 'conversion')} of element types, {plural(pairs, 'quantize/dequantize pair')}",
                f"{table.share(cost)}: {heaviest(found)}",
                _INT8_THROUGHOUT,
                cost,
            )
    elif graph and counted > _EDGE_CONVERSIONS:
        yield Cause(
            CauseKind.CONVERSIONS,
            f"{graph.quantize} quantize, {graph.dequantize} dequantize and {graph.conversions} other conversions",
            f"counted in the file, not timed; the model's edge alone needs {_EDGE_CONVERSIONS}",
            _INT8_THROUGHOUT,
        )


def moves(result: Result, table: OpTable | None) -> Iterator[Cause]:
    """Transposes and copies compute nothing."""
    graph = result.artifact.graph
    if table:
        found = _of_kind(table, Kind.TRANSPOSE, Kind.COPY)
        cost = sum(ns for _, ns in found)
        if found and cost >= NOTABLE_SHARE * table.run_ns:
            yield Cause(
                CauseKind.MOVES,
                f"{plural(_count(found, Kind.TRANSPOSE), 'transpose')} and "
                f"{plural(_count(found, Kind.COPY), 'copy', 'copies')}",
                f"{table.share(cost)}: {heaviest(found)}",
                _LAYOUT,
                cost,
            )
    elif graph and graph.transposes + graph.copies:
        yield Cause(
            CauseKind.MOVES,
            f"{plural(graph.transposes, 'transpose')} and {plural(graph.copies, 'copy', 'copies')} in the graph",
            "counted in the file, not timed",
            _LAYOUT,
        )


def partitions(result: Result, table: OpTable | None) -> Iterator[Cause]:
    """Each boundary of the delegate hands tensors over, and keeps XNNPACK from fusing across it."""
    delegation = result.artifact.delegation
    if delegation is None or delegation.partitions < 2:
        return
    between = max(0.0, table.run_ns - table.explained_ns) if table else None
    evidence = f"{delegation.delegated} of {delegation.total} operators delegated"
    if table and between is not None:
        evidence += f"; outside of every operator: {table.share(between)}"
    yield Cause(
        CauseKind.PARTITIONS,
        f"{delegation.partitions} partitions, so {2 * delegation.partitions} boundaries with the delegate",
        evidence,
        "replace the operators that cut the graph: " + _cutters(result),
        between,
    )


def _cutters(result: Result) -> str:
    delegation = result.artifact.delegation
    names = [each.op for each in delegation.undelegated[:_NAMED]] if delegation else []
    return ", ".join(names) or "ashore inspect lists them"


def _change_of_undelegated(ops: Iterable[str]) -> str:
    names = list(ops)
    return (
        f"replace {', '.join(names[:_NAMED])}{', …' if len(names) > _NAMED else ''} in the model by operators that "
        "XNNPACK runs, or convert with the other backend: it may delegate what this one does not"
    )


_EDGE_CONVERSIONS = 2
_INT8_THROUGHOUT = (
    "quantize the layers between the pairs too, or keep their neighbours in float; at the model's edge, int8_io = true "
    "in the recipe spares them"
)
_LAYOUT = "give the model pictures as NHWC where it takes NCHW, and move reshapes out of the middle of the graph"


def _of_kind(table: OpTable, *kinds: Kind) -> list[tuple[OpCost, float]]:
    return [(op, ns) for op, ns in table.costs if kind_of(op.type or op.name) in kinds]


def _count(found: Sequence[tuple[OpCost, float]], kind: Kind) -> int:
    return sum(kind_of(op.type or op.name) is kind for op, _ in found)


def heaviest(found: Sequence[tuple[OpCost, float]]) -> str:
    """``aten::bmm 1.204 ms (x4), …``: the types that cost most."""
    costs: Counter[str] = Counter()
    for op, ns in found:
        costs[op.type or op.name] += round(ns)
    counts = Counter(op.type or op.name for op, _ in found)
    told = [f"{name} {ns / 1e6:.3f} ms (x{counts[name]})" for name, ns in costs.most_common(_NAMED)]
    return ", ".join(told) + (", …" if len(costs) > _NAMED else "")


def plural(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
