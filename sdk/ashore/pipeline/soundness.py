"""What a manifest must say to make sense, beyond having the right fields: a seal can be made by anybody."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath

import numpy as np

from ashore.types.manifest import Manifest
from ashore.types.tensor import TensorSpec

_SHA256 = re.compile("[0-9a-f]{64}")
_LONGEST_NAME_BYTES = 255
"""Of a file, on the usual systems."""
_LONGEST_TENSOR_NAME = 1000
"""Messages repeat it."""
_MOST_SHOWN = 80
_MOST_TENSORS, _MOST_DIMENSIONS, _LARGEST = 65_535, 255, 2**63 - 1


def problems(manifest: Manifest) -> Iterator[str]:
    """Everything that cannot be true of any artifact, each as the end of a sentence about the manifest."""
    for record in (manifest.file, manifest.golden):
        if not _is_file_name(record.name):
            yield f"names the file {_short(record.name)}, which is not beside it"
        if not _SHA256.fullmatch(record.sha256):
            yield f"gives {_short(record.sha256)} as the SHA-256 of {record.name}"
    if manifest.golden.samples < 1:
        yield f"tells of {manifest.golden.samples} golden samples"
    for name, metric in (manifest.metrics or {}).items():
        if not math.isfinite(metric.eager) or not math.isfinite(metric.file):
            yield f"gives metric {_short(name)} as {metric.eager} and {metric.file}"
    for side, specs in (("inputs", manifest.inputs), ("outputs", manifest.outputs)):
        yield from _side_problems(side, specs)


def _side_problems(side: str, specs: Sequence[TensorSpec]) -> Iterator[str]:
    if len(specs) > _MOST_TENSORS or (side == "outputs" and not specs):
        yield f"describes {len(specs)} {side}"
    if len({spec.name for spec in specs}) < len(specs):
        yield f"gives two {side} the same name"
    for spec in specs:
        yield from (f"describes {_short(spec.name)} with {problem}" for problem in _spec_problems(spec))


def _spec_problems(spec: TensorSpec) -> Iterator[str]:
    if len(spec.name) > _LONGEST_TENSOR_NAME:
        yield f"a name of {len(spec.name)} characters, where {_LONGEST_TENSOR_NAME} are allowed"
    if not _is_number(spec.dtype):
        yield f"dtype {_short(spec.dtype)}, which is no type of numbers"
    elif spec.quantization is not None and np.dtype(spec.dtype).kind not in "iu":
        yield f"dtype {spec.dtype!r}, which is not quantized"
    if len(spec.shape) > _MOST_DIMENSIONS or not all(0 <= size <= _LARGEST for size in spec.shape):
        yield f"shape {list(spec.shape[:8])}"
    for axis, dim in spec.dynamic.items():
        if not 0 <= axis < len(spec.shape) or not 0 <= dim.minimum <= dim.maximum <= _LARGEST:
            yield f"sizes {dim.minimum} to {dim.maximum} on axis {axis}"
    if spec.quantization is not None and not _is_scale(spec.quantization.scale):
        yield f"scale {spec.quantization.scale}"
    if spec.quantization is not None and not abs(spec.quantization.zero_point) < 1 << 31:
        yield f"zero point {spec.quantization.zero_point}"


def _is_file_name(name: str) -> bool:
    plain = PurePath(name).name == name and name not in ("", "..") and name.isprintable()
    return plain and len(name.encode()) <= _LONGEST_NAME_BYTES


def _short(text: str) -> str:
    return repr(text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…")


def _is_number(dtype: str) -> bool:
    try:
        return np.dtype(dtype).kind in "biuf" and np.dtype(dtype).name == dtype
    except (TypeError, ValueError):
        return False


def _is_scale(scale: float) -> bool:
    return math.isfinite(scale) and scale > 0
