"""How close a finished file comes to eager PyTorch."""

from __future__ import annotations

from dataclasses import dataclass


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
    """All outputs of a file, and the floor that was asked of the worst of them."""

    samples: int
    floor_db: float
    outputs: tuple[OutputParity, ...]

    @property
    def sqnr_db(self) -> float:
        return min(output.sqnr_db for output in self.outputs)

    @property
    def cosine(self) -> float:
        return min(output.cosine for output in self.outputs)

    @property
    def worst(self) -> OutputParity:
        return min(self.outputs, key=lambda output: output.sqnr_db)

    @property
    def top1_agreement(self) -> float | None:
        shares = [output.top1_agreement for output in self.outputs if output.top1_agreement is not None]
        return min(shares) if shares else None

    @property
    def top1_agreement_sure(self) -> float | None:
        shares = [o.top1_agreement_sure for o in self.outputs if o.top1_agreement_sure is not None]
        return min(shares) if shares else None

    @property
    def passed(self) -> bool:
        return self.sqnr_db >= self.floor_db and not any(o.nan or o.inf for o in self.outputs)
