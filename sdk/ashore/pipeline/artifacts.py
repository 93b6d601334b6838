"""Artifacts on disk: found, and checked before anybody parses them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ashore import registry
from ashore.errors import ArtifactError, ChecksumMismatch, ManifestInvalid, UsageError
from ashore.pipeline.manifests import load_manifest
from ashore.types.artifact import Artifact
from ashore.types.tensor import Array, Sample


def load_artifact(path: Path) -> Artifact:
    """The artifact of a model file (or of its manifest), its hashes checked; bare where it has no manifest.

    Raises:
        UsageError: no such file, or no known kind of model file.
        ManifestInvalid: the manifest was altered or is of another schema.
        ChecksumMismatch: the model file or its golden samples are not what the manifest vouches for.
    """
    path = _model_file(path)
    if not path.is_file():
        raise UsageError(f"there is no file {path}", "give the path of a model file")
    backend = registry.backend_of_suffix(path.suffix)
    if backend is None:
        raise UsageError(f"{path} is no model file ashore knows", f"known endings: {', '.join(registry.suffixes())}")
    manifest_path = path.with_suffix(".json")
    if not manifest_path.is_file():
        return Artifact(path, backend)
    manifest = load_manifest(_read(manifest_path), str(manifest_path))
    if manifest.backend != backend or manifest.file.name != path.name:
        raise ManifestInvalid(
            f"{manifest_path} vouches for {manifest.file.name} ({manifest.backend}), not for {path.name}",
            "keep a model file and its manifest together under the names they were written with",
        )
    _check(path, manifest.file.sha256)
    _check(path.with_name(manifest.golden.name), manifest.golden.sha256)
    return Artifact(path, backend, manifest)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_golden(path: Path, inputs: Sequence[Sample], eager: Sequence[Sample], converted: Sequence[Sample]) -> None:
    """Arrays ``<index>/in/<name>``, ``<index>/eager/<name>`` (PyTorch) and ``<index>/file/<name>`` (at conversion)."""
    arrays: dict[str, Array] = {}
    for part, samples in (("in", inputs), ("eager", eager), ("file", converted)):
        for index, sample in enumerate(samples):
            arrays |= {f"{index}/{part}/{name}": array for name, array in sample.items()}
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load_golden(artifact: Artifact, part: str) -> tuple[Sample, ...]:
    """The golden samples' ``in``, ``eager`` or ``file`` arrays."""
    assert artifact.manifest is not None and artifact.golden is not None
    with np.load(artifact.golden, allow_pickle=False) as archive:
        return tuple(
            {key.split("/", 2)[2]: archive[key] for key in archive.files if key.startswith(f"{index}/{part}/")}
            for index in range(artifact.manifest.golden.samples)
        )


def _model_file(path: Path) -> Path:
    if path.suffix != ".json" or not path.is_file():
        return path
    try:
        name = json.loads(_read(path))["file"]["name"]
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is not an ashore manifest", "give the path of the model file") from error
    return path.with_name(Path(str(name)).name)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ArtifactError:
    return ArtifactError(f"{path} cannot be read: {error.strerror}", "check its permissions and the disk")


def _check(path: Path, expected: str) -> None:
    if not path.is_file():
        raise ChecksumMismatch(f"{path} is missing, and its manifest vouches for it", "restore it, or convert again")
    try:
        found = file_sha256(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if found != expected:
        raise ChecksumMismatch(
            f"{path} is not the file its manifest vouches for: SHA-256 {found[:12]}…, expected {expected[:12]}…",
            "it was altered, cut short or swapped: restore it, or convert the model again",
        )
