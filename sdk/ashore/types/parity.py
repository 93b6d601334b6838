"""How close a finished file comes to eager PyTorch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SQNR_LIMIT_DB = 200.0
"""What identical values reach, and a bound on both sides."""


@dataclass(frozen=True)
class OutputParity:
    """One output over all samples.

    ``sqnr_db`` = 10 log10(sum ref^2 / sum (ref - got)^2), held within +-200 dB, where 200 means identical.
    ``top1_agreement``: share of samples whose highest score is the same class; ``top1_agreement_sure`` over the
    ``sure_samples`` where PyTorch gives its best class more than half of the probability.
    """

    name: str
    sqnr_db: float
    cosine: float
    max_abs: float
    nan: int
    inf: int
    top1_agreement: float | None = None
    top1_agreement_sure: float | None = None
    sure_samples: int | None = None


@dataclass(frozen=True)
class Parity:
    """All outputs of a file, and the floor that was asked of the worst of them.

    The figures beside ``outputs`` are the worst output's: lowest SQNR, cosine and agreement, highest ``max_abs``;
    NaN and infinite values are summed.
    """

    samples: int
    floor_db: float
    sqnr_db: float
    cosine: float
    max_abs: float
    nan: int
    inf: int
    outputs: tuple[OutputParity, ...]
    top1_agreement: float | None = None
    top1_agreement_sure: float | None = None

    @classmethod
    def of(cls, samples: int, floor_db: float, outputs: tuple[OutputParity, ...]) -> Parity:
        return cls(
            samples,
            floor_db,
            sqnr_db=min(output.sqnr_db for output in outputs),
            cosine=min(output.cosine for output in outputs),
            max_abs=max(output.max_abs for output in outputs),
            nan=sum(output.nan for output in outputs),
            inf=sum(output.inf for output in outputs),
            top1_agreement=_least(output.top1_agreement for output in outputs),
            top1_agreement_sure=_least(output.top1_agreement_sure for output in outputs),
            outputs=outputs,
        )

    @classmethod
    def unmeasured(cls, floor_db: float) -> Parity:
        return cls(0, floor_db, 0.0, 0.0, 0.0, 0, 0, ())

    @property
    def worst(self) -> OutputParity:
        return min(self.outputs, key=lambda output: output.sqnr_db)

    @property
    def passed(self) -> bool:
        return self.sqnr_db >= self.floor_db and not self.nan and not self.inf


def _least(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return min(known) if known else None


def sqnr_db(expected: Floats, got: Floats) -> float:
    """10 log10(sum expected^2 / sum (expected - got)^2), within +-200 dB; 200 for identical values."""
    noise = float(np.square(expected - got).sum())
    power = float(np.square(expected).sum())
    if noise == 0.0:
        return SQNR_LIMIT_DB
    if power == 0.0:
        return -SQNR_LIMIT_DB
    return float(np.clip(10.0 * np.log10(power / noise), -SQNR_LIMIT_DB, SQNR_LIMIT_DB))
