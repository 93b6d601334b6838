"""How much accuracy a file may cost."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ashore.errors import UsageError
from ashore.types.metrics import Metric
from ashore.types.parity import Parity
from ashore.types.precision import Precision


@dataclass(frozen=True)
class Budget:
    """Every bound that is given must hold.

    Attributes:
        min_sqnr_db: floor in dB of the worst output's SQNR, in place of the precision's own.
        max_top1_drop: percentage points by which top-1 agreement with PyTorch may fall below 100 %.
        max_metric_drop: by name of a metric of the source's ``evaluate``, how much of it may be lost.
    """

    min_sqnr_db: float | None = None
    max_top1_drop: float | None = None
    max_metric_drop: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.min_sqnr_db is not None and math.isnan(self.min_sqnr_db):
            raise UsageError("the floor asked for is not a number", "give decibels, such as --min-sqnr 12")
        for name, drop in {"top-1 agreement": self.max_top1_drop or 0.0, **self.max_metric_drop}.items():
            if not drop >= 0:
                raise UsageError(f"the drop of {name} allowed is {drop:g}", "give 0 or more")

    def floor_db(self, precision: Precision) -> float:
        return precision.default_floor_db if self.min_sqnr_db is None else self.min_sqnr_db

    def check_metrics(self, known: Collection[str]) -> None:
        """Raises UsageError where it bounds a metric that the source does not measure."""
        for name in self.max_metric_drop:
            if name not in known:
                raise UsageError(
                    f"a drop of metric {name!r} was given, which the source does not measure",
                    f"known: {', '.join(known) or 'it has no evaluate'}",
                )

    def faults(self, parity: Parity, metrics: Mapping[str, Metric] | None) -> tuple[str, ...]:
        """What exceeds it, in words; the floor of the SQNR is the parity's own.

        Raises:
            UsageError: it bounds something that is not measured.
        """
        faults = [] if parity.passed else [f"{parity.sqnr_db:.1f} dB SQNR where {parity.floor_db:g} dB are asked"]
        if self.max_top1_drop is not None:
            drop = 100 * (1 - _agreement(parity))
            if drop > self.max_top1_drop + 1e-9:
                faults.append(f"top-1 agreement {drop:.1f} points below 100 % where {self.max_top1_drop:g} may be lost")
        measured = metrics or {}
        self.check_metrics(measured)
        for name, most in self.max_metric_drop.items():
            metric = measured[name]
            if metric.drop > most:
                faults.append(
                    f"{name} {metric.file:.4g} against PyTorch's {metric.eager:.4g} where {most:g} may be lost"
                )
        return tuple(faults)


def _agreement(parity: Parity) -> float:
    if parity.top1_agreement is None:
        raise UsageError(
            "a drop of top-1 agreement was given, but no output is known to hold the scores of classes",
            "name an output 'logits' or 'scores', give the source labels, or drop --max-top1-drop",
        )
    return parity.top1_agreement
