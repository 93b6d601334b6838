"""The affine model of ``tiny_files``: what its manifest says, and inputs for it."""

from __future__ import annotations

import numpy as np

from ashore.types.conversion import Delegation
from ashore.types.manifest import FileRecord, GoldenRecord, Manifest, SourceRecord
from ashore.types.parity import Parity
from ashore.types.precision import Precision
from ashore.types.recipe import Recipe
from ashore.types.tensor import TensorSpec


def manifest_of(backend: str, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Manifest:
    """All that tells of a file's edges; its hash is for the test to fill in."""
    return Manifest(
        name="model",
        backend=backend,
        delegate="xnnpack",
        precision=Precision.FP32,
        recipe=Recipe(),
        file=FileRecord("model", "0" * 64, 1),
        golden=GoldenRecord("model.golden.npz", "0" * 64, 1),
        inputs=inputs,
        outputs=outputs,
        source=SourceRecord("module", 1),
        versions={},
        delegation=Delegation(1, 1, 1),
        parity=Parity.unmeasured(60.0),
        created="2026-01-01T00:00:00Z",
    )


def affine_manifest(backend: str) -> Manifest:
    indices = "int64" if backend == "executorch" else "int32"
    return manifest_of(
        backend,
        (TensorSpec("zebra", (2, 4), "float32"), TensorSpec("apple", (6,), indices)),
        (
            TensorSpec("output_0", (2, 3), "float32"),
            TensorSpec("output_1", (6,), indices),
            TensorSpec("output_2", (2, 4), "float32"),
        ),
    )


def affine_inputs(dtype: str = "int64") -> dict[str, np.ndarray]:
    return {"apple": np.arange(6, dtype=dtype), "zebra": np.arange(8, dtype=np.float32).reshape(2, 4)}
