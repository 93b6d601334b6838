"""Bring together what a manifest promises of a model's inputs or outputs and what the file itself says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ashore.errors import ManifestInvalid
from ashore.types.artifact import Artifact
from ashore.types.tensor import DynamicDim, Quantization, TensorSpec
from ashore_runtimes.wire.facts import TensorFacts


@dataclass(frozen=True)
class Edge:
    """All inputs, or all outputs, of a loaded model.

    Attributes:
        specs: as the caller knows them, in the manifest's order.
        in_file: the same in the file's order.
        dtypes: what the file really holds, in the file's order; int32 where the spec may say int64.
    """

    specs: tuple[TensorSpec, ...]
    in_file: tuple[TensorSpec, ...]
    dtypes: tuple[np.dtype[Any], ...]


def match_edge(side: str, facts: Sequence[TensorFacts], artifact: Artifact) -> Edge:
    """The edge ``side`` ("inputs" or "outputs"); a bare file speaks for itself.

    Raises:
        ManifestInvalid: the manifest describes another file.
    """
    dtypes = tuple(np.dtype(fact["dtype"]) for fact in facts)
    if artifact.manifest is None:
        specs = tuple(_spec(fact) for fact in facts)
        return Edge(specs, specs, dtypes)
    promised = artifact.manifest.inputs if side == "inputs" else artifact.manifest.outputs
    if len(promised) != len(facts):
        raise _disagree(artifact, f"{len(promised)} {side}", f"{len(facts)}")
    in_file = promised if artifact.backend == "executorch" else _by_name(side, promised, facts, artifact)
    for spec, fact in zip(in_file, facts, strict=True):
        _check(spec, fact, artifact)
    return Edge(promised, in_file, dtypes)


def _by_name(
    side: str, promised: Sequence[TensorSpec], facts: Sequence[TensorFacts], artifact: Artifact
) -> tuple[TensorSpec, ...]:
    """The inputs of a ``.pte`` have places alone; those of a ``.tflite`` have names, and any order."""
    specs = {spec.name: spec for spec in promised}
    names = [fact["name"] for fact in facts]
    if set(names) != set(specs):
        raise _disagree(artifact, f"{side} {', '.join(specs)}", ", ".join(names))
    return tuple(specs[name] for name in names)


def _check(spec: TensorSpec, fact: TensorFacts, artifact: Artifact) -> None:
    narrowed = spec.dtype == "int64" and fact["dtype"] == "int32"
    if spec.dtype != fact["dtype"] and not narrowed:
        raise _disagree(artifact, f"{spec.name!r} as {spec.dtype}", fact["dtype"])
    fixed = [axis for axis in range(len(spec.shape)) if axis not in spec.dynamic and str(axis) not in fact["dynamic"]]
    if len(spec.shape) != len(fact["shape"]) or any(spec.shape[axis] != fact["shape"][axis] for axis in fixed):
        raise _disagree(artifact, f"{spec.name!r} with shape {list(spec.shape)}", f"{fact['shape']}")


def _disagree(artifact: Artifact, promised: str, found: str) -> ManifestInvalid:
    return ManifestInvalid(
        f"the manifest of {artifact.file.name} describes {promised}; the file has {found}",
        "convert the model again: manifest and file do not belong together",
    )


def _spec(fact: TensorFacts) -> TensorSpec:
    scale_and_zero_point = fact["quantization"]
    return TensorSpec(
        name=fact["name"],
        shape=tuple(fact["shape"]),
        dtype=fact["dtype"],
        dynamic={
            int(axis): DynamicDim(f"{fact['name']}.{axis}", minimum, maximum)
            for axis, (minimum, maximum) in fact["dynamic"].items()
        },
        quantization=Quantization(scale_and_zero_point[0], int(scale_and_zero_point[1]))
        if scale_and_zero_point
        else None,
    )
