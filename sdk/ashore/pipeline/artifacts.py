"""Artifacts on disk: found, and checked before anybody parses them."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from pathlib import Path

from ashore import registry
from ashore.errors import ArtifactError, ChecksumMismatch, ManifestInvalid, UsageError
from ashore.pipeline.golden import largest_golden_bytes
from ashore.pipeline.manifests import load_manifest
from ashore.types.artifact import Artifact

_MOST_MANIFEST_BYTES = 1 << 24
_DEFLATE_LEVEL = 6
"""What zip and app stores use unless they are told otherwise."""
_CHUNK_BYTES = 1 << 20


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
    if not os.path.lexists(manifest_path):
        return Artifact(path, backend)
    manifest = load_manifest(_read(manifest_path), str(manifest_path))
    if manifest.backend != backend or manifest.file.name != path.name:
        raise ManifestInvalid(
            f"{manifest_path} vouches for {manifest.file.name} ({manifest.backend[:80]}), not for {path.name}",
            "keep a model file and its manifest together under the names they were written with",
        )
    _check(path, manifest.file.sha256, manifest.file.bytes, manifest_path.name)
    golden = path.with_name(manifest.golden.name)
    _check(golden, manifest.golden.sha256, largest_golden_bytes(manifest), manifest_path.name)
    return Artifact(path, backend, manifest)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _model_file(path: Path) -> Path:
    if path.suffix != ".json" or not path.is_file():
        return path
    try:
        name = json.loads(_read(path))["file"]["name"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{path} is not an ashore manifest", "give the path of the model file") from error
    if not Path(str(name)).name:
        raise ArtifactError(f"{path} is the manifest of no file", "give the path of the model file")
    return path.with_name(Path(str(name)).name)


def _read(path: Path) -> bytes:
    """Of a manifest. What has its name and is no such thing is never taken for a file without one."""
    if not path.is_file():
        raise ManifestInvalid(f"{path} is no file", "a manifest belongs there: restore it, or move away what is there")
    try:
        if path.stat().st_size > _MOST_MANIFEST_BYTES:
            raise ManifestInvalid(
                f"{path} has {path.stat().st_size} bytes; a manifest has {_MOST_MANIFEST_BYTES} at the most",
                "restore it, or convert the model again",
            )
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ArtifactError:
    return ArtifactError(f"{path} cannot be read: {error.strerror}", "check its permissions and the disk")


def _check(path: Path, expected: str, most_bytes: int, manifest: str) -> None:
    """Whether ``path`` is what ``manifest``, a file's name, vouches for."""
    if not path.is_file():
        raise ChecksumMismatch(f"{path} is missing, and {manifest} vouches for it", "restore it, or convert again")
    try:
        if path.stat().st_size > most_bytes:  # a terabyte of zeros is not worth its reading
            raise ChecksumMismatch(
                f"{path} is not the file its manifest vouches for: it is longer than {most_bytes} bytes",
                "it was altered or swapped: restore it, or convert the model again",
            )
        found = file_sha256(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if found != expected:
        raise ChecksumMismatch(
            f"{path} is not the file its manifest vouches for: SHA-256 {found[:12]}…, expected {expected[:12]}…",
            "it was altered, cut short or swapped: restore it, or convert the model again",
        )


def deflated_bytes(path: Path) -> int:
    """Size after DEFLATE, as it counts for a download; the file is read piece by piece."""
    packer, size = zlib.compressobj(_DEFLATE_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            size += len(packer.compress(chunk))
    return size + len(packer.flush())
