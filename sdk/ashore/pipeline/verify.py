"""An artifact's golden samples on a target, against PyTorch's outputs and the file's own at conversion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ashore import registry
from ashore.errors import UsageError
from ashore.interfaces import Session
from ashore.pipeline.artifacts import load_artifact
from ashore.pipeline.edges import run_real
from ashore.pipeline.golden import load_golden
from ashore.pipeline.metrics import eager_metrics, file_metrics
from ashore.pipeline.origins import check_made_of
from ashore.pipeline.parity import measure_parity
from ashore.types.artifact import Artifact
from ashore.types.manifest import Manifest
from ashore.types.metrics import Metric
from ashore.types.parity import Parity
from ashore.types.source import ModelSource
from ashore.types.tensor import Sample

if TYPE_CHECKING:
    from ashore.sources.prepare import PreparedSource


@dataclass(frozen=True)
class Verification:
    """How a file does on a target.

    ``identical``: every output equals what the file gave on the host when it was converted; where it does not,
    ``largest_change`` is the largest difference, in the output's own unit. Kernels differ between CPUs, and so do the
    last bits of floats. ``metrics``: what the source's ``evaluate`` finds there; without the source, what it found on
    the host when the file was converted.
    """

    artifact: Artifact
    target: str
    parity: Parity
    identical: bool
    largest_change: float
    metrics: Mapping[str, Metric] | None = None

    @property
    def passed(self) -> bool:
        return self.parity.passed


def verify(
    artifact: Artifact | Path | str,
    *,
    target: str = "host",
    threads: int = 1,
    timeout_s: float = 300.0,
    source: ModelSource | Evaluation | None = None,
) -> Verification:
    """Run the golden inputs on ``target`` and compare.

    Args:
        target: id of the target, as ``ashore targets`` lists them.
        threads: threads of the engine.
        timeout_s: seconds that loading, and each run, may take.
        source: what the artifact was made of, to evaluate it anew; an ``Evaluation`` of it serves several artifacts.

    Raises:
        ArtifactError: the file, its manifest or its golden samples were altered.
        UsageError: it has no manifest to be verified against, or was made of another model than ``source``.
        ExecutionError, TargetError: it could not be run there.
    """
    checked = load_artifact(artifact.file if isinstance(artifact, Artifact) else Path(artifact))
    if checked.manifest is None:
        raise UsageError(
            f"{checked.file} has no manifest beside it, so there is nothing to verify against",
            f"make it with ashore convert, or put {checked.file.stem}.json and its golden file beside it",
        )
    evaluate = _evaluation(source, checked, checked.manifest)
    with registry.get_target(target).open(checked, threads=threads, timeout_s=timeout_s) as session:
        # The session comes first: it finds out whether the file has the tensors that the samples are held against.
        got = tuple(run_real(session, sample) for sample in load_golden(checked, "in"))
        metrics = evaluate(session)
    floor_db, labels = checked.manifest.parity.floor_db, checked.manifest.labels
    eager, title = load_golden(checked, "eager"), checked.file.name
    parity = measure_parity(eager, got, floor_db=floor_db, labels=labels, title=title)
    converted = load_golden(checked, "file")
    return Verification(checked, target, parity, _identical(converted, got), _largest_change(converted, got), metrics)


class Evaluation:
    """PyTorch's side of a source's ``evaluate``, done once, however many artifacts are held against it."""

    def __init__(self, source: ModelSource) -> None:
        self._source = source

    @cached_property
    def prepared(self) -> PreparedSource:
        """Raises UsageError where the source has no ``evaluate``."""
        if self._source.evaluate is None:
            raise UsageError(
                f"source {self._source.name!r} has no evaluate", "give one in its ModelSource, or leave --source out"
            )
        from ashore.sources.prepare import prepare

        return prepare(self._source)

    @cached_property
    def eager(self) -> Mapping[str, float] | None:
        return eager_metrics(self.prepared)


def _evaluation(
    source: ModelSource | Evaluation | None, artifact: Artifact, manifest: Manifest
) -> Callable[[Session], Mapping[str, Metric] | None]:
    """What finds the metrics of a loaded file. PyTorch's side is done here, before anything is loaded."""
    if source is None:
        return lambda _session: manifest.metrics
    known = Evaluation(source) if isinstance(source, ModelSource) else source
    check_made_of(artifact, known.prepared)
    eager = known.eager
    return lambda session: file_metrics(known.prepared, eager, session, artifact.file.name)


def _identical(expected: tuple[Sample, ...], got: tuple[Sample, ...]) -> bool:
    return all(
        np.array_equal(want[name], have[name], equal_nan=np.issubdtype(want[name].dtype, np.inexact))
        for want, have in zip(expected, got, strict=True)
        for name in want
    )


def _largest_change(expected: tuple[Sample, ...], got: tuple[Sample, ...]) -> float:
    """NaN where only one of the two is one."""
    changes = [0.0]
    for want, have in zip(expected, got, strict=True):
        for name, array in want.items():
            before, after = np.asarray(array, np.float64), np.asarray(have[name], np.float64)
            differ = (before != after) & ~(np.isnan(before) & np.isnan(after))
            changes.append(float(np.abs(before[differ] - after[differ]).max(initial=0.0)))
    return float(np.max(changes))
