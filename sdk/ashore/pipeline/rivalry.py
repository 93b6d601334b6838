"""Whether a finished ``mixed`` file is worse than int8 on the evaluation samples, which its search cannot rule out.

The search chooses by calibration samples and stops by trials; the finished file may answer otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ashore.errors import AshoreError
from ashore.pipeline.judging import answered_on_host
from ashore.pipeline.metrics import file_metrics
from ashore.pipeline.parity import measure_parity
from ashore.types.artifact import Artifact
from ashore.types.budget import Budget
from ashore.types.manifest import Manifest
from ashore.types.metrics import Metric
from ashore.types.parity import Parity

if TYPE_CHECKING:
    from ashore.sources.prepare import PreparedSource


@dataclass(frozen=True)
class Verdict:
    """``told``: what the reader of the manifest must know. ``int8_instead``: what int8 is should be published."""

    told: tuple[str, ...] = ()
    int8_instead: bool = False


def held_against_int8(
    mixed: Manifest,
    make_int8: Callable[[], Artifact],
    prepared: PreparedSource,
    budget: Budget,
    eager: Mapping[str, float] | None,
) -> Verdict:
    """int8 wins where ``mixed`` is worse in anything and int8 keeps the budget as well."""
    try:
        parity, metrics = _measured(make_int8(), mixed.parity.floor_db, prepared, eager)
    except AshoreError as error:
        return Verdict((f"whether int8 would be better is unknown, as it could not be measured: {error.message}",))
    lost = "; ".join(_losses(mixed, parity, metrics, budget))
    if not lost:
        return Verdict()
    if faults := budget.faults(parity, metrics):
        return Verdict((f"{lost}; but int8 does not keep the budget: {'; '.join(faults)}",))
    return Verdict((f"is int8 throughout: with modules in float, the finished file came to {lost}",), int8_instead=True)


def _measured(
    int8: Artifact, floor_db: float, prepared: PreparedSource, eager: Mapping[str, float] | None
) -> tuple[Parity, Mapping[str, Metric] | None]:
    """As its manifest says where it was judged already; held to ``floor_db``."""
    manifest = int8.manifest
    if manifest is not None and manifest.parity.samples:
        return replace(manifest.parity, floor_db=floor_db), manifest.metrics
    with answered_on_host(int8, prepared) as (session, answers):
        parity = measure_parity(prepared.reference, answers, floor_db=floor_db, labels=prepared.source.labels)
        return parity, file_metrics(prepared, eager, session, int8.file.name)


def _losses(mixed: Manifest, int8: Parity, metrics: Mapping[str, Metric] | None, budget: Budget) -> Iterator[str]:
    """Of metrics only the bounded ones are known to be better when higher."""
    own = mixed.parity
    if own.sqnr_db < int8.sqnr_db and not (int8.nan or int8.inf):
        yield f"{own.sqnr_db:.2f} dB SQNR where int8 reaches {int8.sqnr_db:.2f}"
    if own.top1_agreement is not None and own.top1_agreement < (int8.top1_agreement or 0):
        yield f"{own.top1_agreement:.1%} top-1 agreement where int8 reaches {int8.top1_agreement:.1%}"
    mine, others = mixed.metrics or {}, metrics or {}
    for name in budget.max_metric_drop:
        if mine[name].file < others[name].file:
            yield f"{name} of {mine[name].file:.4g} where int8 reaches {others[name].file:.4g}"
