"""Whether a finished ``mixed`` file gives way to int8, which its search cannot rule out.

The search chooses by calibration samples and stops by trials; the finished file may answer otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ashore.errors import AshoreError
from ashore.pipeline.judging import Measured
from ashore.types.budget import Budget


@dataclass(frozen=True)
class Verdict:
    """``told``: what the reader of the manifest must know. ``int8_instead``: what int8 is should be published."""

    told: tuple[str, ...] = ()
    int8_instead: bool = False


def held_against_int8(mixed: Measured, measure_int8: Callable[[], Measured], budget: Budget) -> Verdict:
    """int8 wins where it keeps the budget, and ``mixed`` either does not or is worse in anything.

    A ``mixed`` that breaks the budget where int8 is no way out is left to its own error.
    """
    broken = mixed.faults(budget)
    try:
        int8 = measure_int8()
    except AshoreError as error:
        return Verdict((f"whether int8 would be better is unknown, as it could not be measured: {error.message}",))
    lost = "; ".join(broken or _losses(mixed, int8, budget))
    if not lost:
        return Verdict()
    if faults := int8.faults(budget):
        return Verdict((f"{lost}; but int8 does not keep the budget: {'; '.join(faults)}",))
    what = "broke the budget, which int8 keeps:" if broken else "came to"
    return Verdict((f"is int8 throughout: with modules in float, the finished file {what} {lost}",), int8_instead=True)


def _losses(mixed: Measured, int8: Measured, budget: Budget) -> Iterator[str]:
    """Of metrics only the bounded ones are known to be better when higher."""
    own, other = mixed.parity, int8.parity
    if own.sqnr_db < other.sqnr_db and not (other.nan or other.inf):
        yield f"{own.sqnr_db:.2f} dB SQNR where int8 reaches {other.sqnr_db:.2f}"
    if own.top1_agreement is not None and own.top1_agreement < (other.top1_agreement or 0):
        yield f"{own.top1_agreement:.1%} top-1 agreement where int8 reaches {other.top1_agreement:.1%}"
    mine, others = mixed.metrics or {}, int8.metrics or {}
    for name in budget.max_metric_drop:
        if name in others and mine[name].file < others[name].file:
            yield f"{name} of {mine[name].file:.4g} where int8 reaches {others[name].file:.4g}"
