"""An artifact's golden samples on a target, against PyTorch's outputs and the file's own at conversion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ashore import registry
from ashore.errors import UsageError
from ashore.pipeline.artifacts import load_artifact
from ashore.pipeline.edges import run_real
from ashore.pipeline.golden import load_golden
from ashore.pipeline.parity import measure_parity
from ashore.types.artifact import Artifact
from ashore.types.parity import Parity
from ashore.types.tensor import Sample


@dataclass(frozen=True)
class Verification:
    """How a file does on a target.

    ``identical``: every output equals what the file gave on the host when it was converted; where it does not,
    ``largest_change`` is the largest difference, in the output's own unit. Kernels differ between CPUs, and so do the
    last bits of floats.
    """

    artifact: Artifact
    target: str
    parity: Parity
    identical: bool
    largest_change: float

    @property
    def passed(self) -> bool:
        return self.parity.passed


def verify(
    artifact: Artifact | Path | str, *, target: str = "host", threads: int = 1, timeout_s: float = 300.0
) -> Verification:
    """Run the golden inputs on ``target`` and compare.

    Args:
        target: id of the target, as ``ashore targets`` lists them.
        threads: threads of the engine.
        timeout_s: seconds that loading, and each run, may take.

    Raises:
        ArtifactError: the file, its manifest or its golden samples were altered.
        UsageError: it has no manifest to be verified against.
        ExecutionError, TargetError: it could not be run there.
    """
    checked = load_artifact(artifact.file if isinstance(artifact, Artifact) else Path(artifact))
    if checked.manifest is None:
        raise UsageError(
            f"{checked.file} has no manifest beside it, so there is nothing to verify against",
            f"make it with ashore convert, or put {checked.file.stem}.json and its golden file beside it",
        )
    got = _run_golden(checked, target, threads, timeout_s)
    parity = measure_parity(
        load_golden(checked, "eager"),
        got,
        floor_db=checked.manifest.parity.floor_db,
        labels=checked.manifest.labels,
    )
    converted = load_golden(checked, "file")
    return Verification(checked, target, parity, _identical(converted, got), _largest_change(converted, got))


def _run_golden(artifact: Artifact, target: str, threads: int, timeout_s: float) -> tuple[Sample, ...]:
    """The session comes first: it finds out whether the file has the tensors that the samples are held against."""
    with registry.get_target(target).open(artifact, threads=threads, timeout_s=timeout_s) as session:
        return tuple(run_real(session, sample) for sample in load_golden(artifact, "in"))


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
