"""Whether a file was made of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ashore.errors import UsageError
from ashore.types.artifact import Artifact

if TYPE_CHECKING:
    from ashore.sources.prepare import PreparedSource


def check_made_of(artifact: Artifact, prepared: PreparedSource) -> None:
    """Raises UsageError where the manifest of ``artifact`` names other weights than those of the source."""
    manifest = artifact.manifest
    if manifest is None or prepared.record.sha256 != manifest.source.sha256:
        raise UsageError(
            f"{artifact.file} was not made of source {prepared.source.name!r}: their weights differ",
            "give the source it was converted from, or convert that one again",
        )
