"""A converted file against eager PyTorch, on samples that nothing was tuned on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ashore import registry
from ashore.errors import AccuracyError
from ashore.interfaces import Session
from ashore.pipeline.artifacts import file_sha256
from ashore.pipeline.edges import run_real
from ashore.pipeline.golden import save_golden
from ashore.pipeline.metrics import file_metrics
from ashore.pipeline.parity import measure_parity
from ashore.types.artifact import Artifact
from ashore.types.budget import Budget
from ashore.types.manifest import GoldenRecord
from ashore.types.metrics import Metric
from ashore.types.parity import Parity
from ashore.types.tensor import Sample

if TYPE_CHECKING:
    from ashore.sources.prepare import PreparedSource

_GOLDEN_SAMPLES = 8


@dataclass(frozen=True)
class Measured:
    """What a finished file reaches on the evaluation samples.

    Attributes:
        golden_parity: of the golden samples by themselves, which are all that ``ashore verify`` sees.
        golden: of the samples written beside the file.
        metrics: None also for a file below its floor, of which ``evaluate`` is not asked.
    """

    parity: Parity
    golden_parity: Parity
    golden: GoldenRecord
    metrics: Mapping[str, Metric] | None

    def held_to(self, floor_db: float) -> Measured:
        parity, golden_parity = (replace(each, floor_db=floor_db) for each in (self.parity, self.golden_parity))
        return replace(self, parity=parity, golden_parity=golden_parity)

    @property
    def below_floor(self) -> Parity | None:
        """Of all samples, else of the golden ones; None where both keep the floor."""
        return next((each for each in (self.parity, self.golden_parity) if not each.passed), None)

    def faults(self, budget: Budget) -> tuple[str, ...]:
        """As :meth:`Budget.faults`."""
        if self.below_floor is not None:
            return Budget().faults(self.below_floor, None)
        return budget.faults(self.parity, self.metrics)


def measure(
    artifact: Artifact, floor_db: float, prepared: PreparedSource, eager: Mapping[str, float] | None
) -> Measured:
    """The file on the host against PyTorch; golden samples are written beside it.

    Raises:
        UsageError: the source's ``evaluate`` fails.
    """
    _ = prepared.reference  # first: a process that is still at it would take a core from the file's own runs
    with _answered_on_host(artifact, prepared) as (session, converted):
        parity, golden_parity = _parities(prepared, converted, floor_db, artifact.file.name)
        passed = parity.passed and golden_parity.passed
        metrics = file_metrics(prepared, eager, session, artifact.file.name) if passed else None
    return Measured(parity, golden_parity, _write_golden(artifact.file, prepared, converted), metrics)


def hold(title: str, measured: Measured, budget: Budget) -> None:
    """Raises AccuracyError for a file below its floor, on all samples or the golden ones, or over the budget."""
    if measured.below_floor is not None:
        raise AccuracyError(_below_floor(title, measured.below_floor), _ADVICE)
    for fault in measured.faults(budget):
        raise AccuracyError(f"{title}: {fault}; nothing was published", _ADVICE)


def golden_path(file: Path) -> Path:
    return file.with_suffix(".golden.npz")


@contextmanager
def _answered_on_host(artifact: Artifact, prepared: PreparedSource) -> Iterator[tuple[Session, tuple[Sample, ...]]]:
    """A session on all cores, and the file's answers on the evaluation samples."""
    with registry.get_target("host").open(artifact, threads=os.cpu_count() or 1) as session:
        yield session, tuple(run_real(session, sample) for sample in prepared.evaluation)


def _parities(
    prepared: PreparedSource, converted: tuple[Sample, ...], floor_db: float, title: str
) -> tuple[Parity, Parity]:
    """Of all samples, and of the golden ones."""
    reference, labels = prepared.reference, prepared.source.labels
    golden = _golden_indices(len(reference))
    whole = measure_parity(reference, converted, floor_db=floor_db, labels=labels, title=title)
    part = measure_parity([reference[i] for i in golden], [converted[i] for i in golden], floor_db=floor_db)
    return whole, part


_ADVICE = (
    "calibrate on samples like the ones it will meet, keep the sensitive layers in float with a recipe, take another "
    "precision, or lower the floor knowingly with --min-sqnr"
)


def _below_floor(title: str, parity: Parity) -> str:
    worst = parity.worst
    if parity.nan or parity.inf:
        return f"{title} gives {parity.nan} NaN and {parity.inf} infinite values where PyTorch gives none"
    return (
        f"{title} differs too much from PyTorch: {worst.sqnr_db:.1f} dB SQNR on output {worst.name!r} over "
        f"{parity.samples} samples, the floor is {parity.floor_db:g} dB; nothing was published"
    )


def _golden_indices(count: int) -> list[int]:
    """Evenly spread over the evaluation samples."""
    kept = min(count, _GOLDEN_SAMPLES)
    return [index * count // kept for index in range(kept)]


def _write_golden(file: Path, prepared: PreparedSource, converted: tuple[Sample, ...]) -> GoldenRecord:
    path = golden_path(file)
    chosen = _golden_indices(len(converted))
    samples = [[part[i] for i in chosen] for part in (prepared.evaluation, prepared.reference, converted)]
    save_golden(path, *samples)
    return GoldenRecord(path.name, file_sha256(path), len(chosen))
