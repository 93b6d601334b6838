"""Golden samples: inputs that every target is given, PyTorch's outputs on them, and the file's own at conversion."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ashore.errors import ArtifactError, ChecksumMismatch
from ashore.sources.arrays import NotArrays, read_arrays
from ashore.types.artifact import Artifact
from ashore.types.manifest import Manifest
from ashore.types.tensor import Array, Sample, TensorSpec

_HEADER_BYTES = 1 << 16
"""More than the description of an array takes before its values."""
_ENTRY_BYTES = 76
"""The least that a zip archive takes for a member: two headers."""
_WIDEST_BYTES = 8
_ADVICE = "restore it from where it was made, or convert the model again"


def save_golden(path: Path, inputs: Sequence[Sample], eager: Sequence[Sample], converted: Sequence[Sample]) -> None:
    """Arrays ``<index>/in/<name>``, ``<index>/eager/<name>`` (PyTorch) and ``<index>/file/<name>`` (at conversion)."""
    arrays: dict[str, Array] = {}
    for part, samples in (("in", inputs), ("eager", eager), ("file", converted)):
        for index, sample in enumerate(samples):
            arrays |= {f"{index}/{part}/{name}": array for name, array in sample.items()}
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load_golden(artifact: Artifact, part: str) -> tuple[Sample, ...]:
    """The golden samples' ``in``, ``eager`` or ``file`` arrays, from the very bytes whose hash is checked.

    Raises:
        ChecksumMismatch: they are not those that the manifest vouches for.
        ArtifactError: they are no arrays, or not those of the tensors that the manifest describes.
    """
    assert artifact.manifest is not None and artifact.golden is not None
    specs = artifact.manifest.inputs if part == "in" else artifact.manifest.outputs
    samples, content = range(artifact.manifest.golden.samples), _read(artifact, artifact.golden)
    if len(samples) * len(specs) * _ENTRY_BYTES > len(content):
        raise ArtifactError(f"{artifact.golden} is too small for {len(samples)} golden samples", _ADVICE)
    wanted = {f"{index}/{part}/{spec.name}": spec for index in samples for spec in specs}
    try:
        most_bytes = {key: _most_bytes(spec) for key, spec in wanted.items()}
        arrays = read_arrays(io.BytesIO(content), most_bytes)
    except NotArrays as error:
        raise ArtifactError(f"{artifact.golden} does not hold its golden samples: {error}", _ADVICE) from error
    for key, spec in wanted.items():
        _check(artifact.golden, key, arrays[key], spec, exact=part == "in")
    return tuple({spec.name: arrays[f"{index}/{part}/{spec.name}"] for spec in specs} for index in samples)


def largest_golden_bytes(manifest: Manifest) -> int:
    """How long the golden file can be, all of its arrays having their largest size and none being compressed."""
    sample_bytes = sum(map(_most_bytes, manifest.inputs)) + 2 * sum(map(_most_bytes, manifest.outputs))
    return manifest.golden.samples * sample_bytes + _HEADER_BYTES


def _read(artifact: Artifact, golden: Path) -> bytes:
    assert artifact.manifest is not None
    try:
        content = golden.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{golden} cannot be read: {error.strerror}", "check its permissions") from error
    if hashlib.sha256(content).hexdigest() != artifact.manifest.golden.sha256:
        raise ChecksumMismatch(f"{golden} is not the file its manifest vouches for", _ADVICE)
    return content


def _most_bytes(spec: TensorSpec) -> int:
    size = _WIDEST_BYTES
    for axis, length in enumerate(spec.shape):
        size *= max(length, spec.dynamic[axis].maximum) if axis in spec.dynamic else length
    return size + _HEADER_BYTES


def _check(golden: Path, key: str, array: Array, spec: TensorSpec, *, exact: bool) -> None:
    """``exact``: these values go to the file as they are, unless it is quantized there.

    PyTorch's int64 indices may go to a file of int32 ones, for a session takes them where every value fits.
    """
    fits = array.ndim == len(spec.shape) and all(
        axis in spec.dynamic or array.shape[axis] == size for axis, size in enumerate(spec.shape)
    )
    narrowed = array.dtype == "int64" and spec.dtype == "int32"
    as_promised = spec.quantization is not None or array.dtype == spec.dtype or narrowed
    typed = array.dtype.kind in "biuf" and (not exact or as_promised)
    if not fits or not typed:
        raise ArtifactError(
            f"{golden} holds {key!r} as {array.dtype} {list(array.shape)}; "
            f"its manifest describes {spec.dtype} {list(spec.shape)}",
            _ADVICE,
        )
