"""A converted file against eager PyTorch, on samples that nothing was tuned on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
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
from ashore.types.manifest import GoldenRecord, Manifest
from ashore.types.parity import Parity
from ashore.types.tensor import Sample

if TYPE_CHECKING:
    from ashore.sources.prepare import PreparedSource

_GOLDEN_SAMPLES = 8


def judge(
    artifact: Artifact, draft: Manifest, prepared: PreparedSource, budget: Budget, eager: Mapping[str, float] | None
) -> Manifest:
    """``draft`` with what was measured; golden samples are written beside the file.

    Raises:
        AccuracyError: all samples, or the golden ones by themselves, fall below the draft's floor, or the file costs
            more than the budget allows.
        UsageError: the source's ``evaluate`` fails.
    """
    title = artifact.file.name
    _ = prepared.reference  # first: a process that is still at it would take a core from the file's own runs
    with answered_on_host(artifact, prepared) as (session, converted):
        parity = _parity(title, prepared, converted, draft.parity.floor_db)
        metrics = file_metrics(prepared, eager, session, title)
    for fault in budget.faults(parity, metrics):
        raise AccuracyError(f"{title}: {fault}; nothing was published", _ADVICE)
    golden = _write_golden(artifact.file, prepared, converted)
    return replace(draft, parity=parity, golden=golden, metrics=metrics)


@contextmanager
def answered_on_host(artifact: Artifact, prepared: PreparedSource) -> Iterator[tuple[Session, tuple[Sample, ...]]]:
    """A session on all cores, and the file's answers on the evaluation samples."""
    with registry.get_target("host").open(artifact, threads=os.cpu_count() or 1) as session:
        yield session, tuple(run_real(session, sample) for sample in prepared.evaluation)


def _parity(title: str, prepared: PreparedSource, converted: tuple[Sample, ...], floor_db: float) -> Parity:
    reference, labels = prepared.reference, prepared.source.labels
    parity = measure_parity(reference, converted, floor_db=floor_db, labels=labels)
    golden = _golden_indices(len(reference))
    part = measure_parity([reference[i] for i in golden], [converted[i] for i in golden], floor_db=floor_db)
    for measured in (parity, part):
        if not measured.passed:
            raise AccuracyError(_below_floor(title, measured), _ADVICE)
    return parity


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
    path = file.with_suffix(".golden.npz")
    chosen = _golden_indices(len(converted))
    samples = [[part[i] for i in chosen] for part in (prepared.evaluation, prepared.reference, converted)]
    save_golden(path, *samples)
    return GoldenRecord(path.name, file_sha256(path), len(chosen))
