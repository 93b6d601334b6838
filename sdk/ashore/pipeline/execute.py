"""Open a model on a target; run it once from files."""

from __future__ import annotations

from pathlib import Path

from ashore import registry
from ashore.errors import UsageError
from ashore.interfaces import Session
from ashore.pipeline.artifacts import load_artifact
from ashore.pipeline.publishing import publish, staging
from ashore.sources.arrays import load_arrays, save_arrays
from ashore.types.artifact import Artifact
from ashore.types.tensor import Sample


def open_session(
    artifact: Artifact | Path | str, *, target: str = "host", threads: int = 1, timeout_s: float = 300.0
) -> Session:
    """Load a model on a target, in a process of its own; use it as a context manager.

    Args:
        artifact: an artifact or the path of a model file; its hashes are checked first.
        target: id of the target, as ``ashore targets`` lists them.
        threads: threads of the engine.
        timeout_s: seconds that loading, and each run, may take.

    Raises:
        ArtifactError: the file or its manifest were altered.
        TargetError: there is no such target, or it is not ready.
        ExecutionError: the engine refused the file or crashed on it.
    """
    if threads < 1:
        raise UsageError(f"{threads} threads were asked for", "give 1 or more")
    checked = load_artifact(artifact.file if isinstance(artifact, Artifact) else Path(artifact))
    return registry.get_target(target).open(checked, threads=threads, timeout_s=timeout_s)


def run_file(
    artifact: Path, inputs: Path, output: Path, *, target: str = "host", threads: int = 1, timeout_s: float = 300.0
) -> Sample:
    """One inference from ``inputs`` (``.npz``, arrays by input name) to ``output`` (``.npz``, by output name)."""
    arrays = load_arrays(inputs)
    with open_session(artifact, target=target, threads=threads, timeout_s=timeout_s) as session:
        results = session.run(arrays)
    _save(results, output)
    return results


def _save(results: Sample, output: Path) -> None:
    with staging(output.parent) as stage:
        part = stage / output.name
        with part.open("wb") as file:
            save_arrays(file, results)
        publish([part], output.parent)
