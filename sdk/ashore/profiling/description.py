"""What is said of an artifact and a target in a profile, none of which needs a run."""

from __future__ import annotations

from ashore import registry
from ashore.errors import AshoreError
from ashore.pipeline.artifacts import deflated_bytes, file_sha256
from ashore.profiling.operators import count_graph
from ashore.types.artifact import Artifact
from ashore.types.parity import Parity
from ashore.types.profile import ParityFigures, ProfiledArtifact, ProfiledTarget
from ashore.types.target import TargetInfo


def describe_artifact(artifact: Artifact) -> tuple[ProfiledArtifact, dict[str, str]]:
    """The artifact, and why some of it could not be told."""
    manifest, skipped = artifact.manifest, {}
    if manifest is None:
        skipped["parity"] = "the file has no manifest, so its accuracy is unknown"
    graph = None
    delegation = manifest.delegation if manifest else None
    try:
        contents = registry.get_converter(artifact.backend).inspect(artifact.file)
        graph, delegation = count_graph(contents.ops), delegation or contents.delegation
    except AshoreError as error:
        skipped["graph"] = f"the file could not be read: {error.message}"
    return (
        ProfiledArtifact(
            name=manifest.name if manifest else artifact.stem,
            backend=artifact.backend,
            sha256=manifest.file.sha256 if manifest else file_sha256(artifact.file),
            bytes=artifact.file.stat().st_size,
            precision=manifest.precision.value if manifest else None,
            compressed_bytes=deflated_bytes(artifact.file),
            parity=_figures(manifest.parity) if manifest else None,
            delegation=delegation,
            graph=graph,
        ),
        skipped,
    )


def describe_target(info: TargetInfo, backend: str) -> ProfiledTarget:
    return ProfiledTarget(
        id=info.id,
        kind=info.kind,
        cpu=info.cpu,
        abi=info.abi,
        os=info.os,
        runtime_version=info.engine_versions.get(backend, "unknown"),
        runner=info.runner or None,
        cores=info.cores,
    )


def _figures(parity: Parity) -> ParityFigures:
    return ParityFigures(
        samples=parity.samples,
        sqnr_db=parity.sqnr_db,
        cosine=parity.cosine,
        max_abs=parity.max_abs,
        nan=parity.nan,
        inf=parity.inf,
        floor_db=parity.floor_db,
        top1_agreement=parity.top1_agreement,
    )
