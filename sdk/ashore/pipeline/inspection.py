"""What an artifact is, without running it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ashore import registry
from ashore.pipeline.artifacts import load_artifact
from ashore.types.artifact import Artifact
from ashore.types.conversion import FileContents


@dataclass(frozen=True)
class Inspection:
    artifact: Artifact
    bytes: int
    contents: FileContents


def inspect(artifact: Artifact | Path | str) -> Inspection:
    """Read a model file's tensors, operators and sizes; the manifest comes along where there is one.

    Raises:
        ArtifactError: the file or its manifest were altered, or it is not a readable file of its kind.
    """
    checked = load_artifact(artifact.file if isinstance(artifact, Artifact) else Path(artifact))
    contents = registry.get_converter(checked.backend).inspect(checked.file)
    return Inspection(checked, checked.file.stat().st_size, contents)
