"""What int8 costs a model, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerCost:
    """A layer with weights: ``multiplications`` of one inference on the example inputs, ``weights`` as a count."""

    path: str
    operator: str
    weights: int
    multiplications: int


@dataclass(frozen=True)
class LayerReading:
    """What a layer's output showed on calibration samples.

    Attributes:
        low, high: the extremes, in the output's own unit.
        outliers: largest magnitude over the 99.9th percentile of magnitudes; 1 where there are none. What exceeds
            the bulk wastes int8's levels.
        sqnr_db: of this output in the model that is int8 throughout, against PyTorch's.
    """

    low: float
    high: float
    outliers: float
    sqnr_db: float


@dataclass(frozen=True)
class MixedStep:
    """One point of the curve that ``mixed`` walks.

    Attributes:
        kept: module path that was put in float here; empty at the start, which is plain int8.
        sqnr_db, top1_agreement: of the model so far, on calibration samples; where no output holds the scores of
            classes, agreement is unknown.
        float_multiplications, float_weights: shares that are in float so far.
    """

    kept: str
    sqnr_db: float
    float_multiplications: float
    float_weights: float
    top1_agreement: float | None = None
