"""Activation ranges of a float LiteRT file, observed on samples."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from ashore.types.tensor import Array, Sample

from ashore_converters.litert_file import FileGraph
from ashore_converters.litert_quiet import quiet
from ashore_converters.ranges import range_from_samples

Ranges = Mapping[str, Mapping[str, Any]]
"""Tensor name -> ``min`` and ``max``, as the quantizer takes them."""

_SAME_VALUES = {"RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS"}
"""Operators whose output has the input's values and, in the quantizer, its range."""


def observe(model: bytes, graph: FileGraph, samples: Iterable[Sample]) -> Ranges:
    """Ranges of every tensor, each sample observed by itself; ``ranges`` says how they are joined."""
    per_sample = list(_per_sample(model, graph, samples))
    exact = _output_tensors(graph)
    return {name: _merge([ranges[name] for ranges in per_sample], name in exact) for name in per_sample[0]}


def _per_sample(model: bytes, graph: FileGraph, samples: Iterable[Sample]) -> Iterable[dict[str, Any]]:
    from litert_quantizer import calibrator, recipe, recipe_manager

    everything = recipe_manager.RecipeManager()
    everything.load_quantization_recipe(recipe.static_wi8_ai8())
    with quiet():
        observer = calibrator.Calibrator(model, num_threads=os.cpu_count() or 1)
    for sample in samples:
        observer.reset_model_qsvs()
        with quiet():
            observer.calibrate({"serving_default": [file_inputs(sample, graph)]}, everything)
        yield observer.get_model_qsvs()


def file_inputs(sample: Sample, graph: FileGraph) -> dict[str, Array]:
    """A PyTorch sample in the element types the file takes (int64 became int32)."""
    return {name: sample[name].astype(graph.tensors[index].dtype) for name, index in graph.inputs}


def _merge(observed: list[Mapping[str, Any]], true_range: bool) -> dict[str, Any]:
    lowest, highest = [float(np.min(o["min"])) for o in observed], [float(np.max(o["max"])) for o in observed]
    low, high = range_from_samples(lowest, highest, true_range=true_range)
    shape = np.shape(observed[0]["min"])
    return {"min": np.full(shape, low, np.float32), "max": np.full(shape, high, np.float32)}


def _output_tensors(graph: FileGraph) -> set[str]:
    """Names of the output tensors and of those that hold the same values on the way to them."""
    makers = {index: op for op in graph.ops for index in op.outputs}
    found, wanted = set[int](), [index for _, index in graph.outputs]
    while wanted:
        index = wanted.pop()
        found.add(index)
        maker = makers.get(index)
        if maker is not None and maker.name in _SAME_VALUES:
            wanted.append(maker.inputs[0])
    return {graph.tensors[index].name for index in found}
