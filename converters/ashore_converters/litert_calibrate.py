"""Activation ranges of a float LiteRT file, observed on samples."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
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


def _per_sample(model: bytes, graph: FileGraph, samples: Iterable[Sample]) -> Iterator[Ranges]:
    """The quantizer's own calibrator gives the same values in seven times the time."""
    made = [index for op in graph.ops for index in op.outputs]
    kept = [i for i in (*made, *(i for _, i in graph.inputs)) if graph.tensors[i].dtype == "float32"]
    with quiet():
        interpreter = open_interpreter(model, keep_all_tensors=True)
        runner: Any = interpreter.get_signature_runner()
    for sample in samples:
        runner(**file_inputs(sample, graph))
        yield {graph.tensors[index].name: _extremes(interpreter.get_tensor(index)) for index in kept}


def _extremes(values: Array) -> dict[str, Any]:
    """Kept in the tensor's rank, which the quantizer expects where a constant shares the range."""
    return {"min": np.min(values, keepdims=True), "max": np.max(values, keepdims=True)}


def open_interpreter(model: bytes, *, keep_all_tensors: bool = False) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(
        model_content=model, num_threads=os.cpu_count(), experimental_preserve_all_tensors=keep_all_tensors
    )
    interpreter.allocate_tensors()
    return interpreter


def file_inputs(sample: Sample, graph: FileGraph) -> dict[str, Array]:
    """A PyTorch sample in the element types the file takes (int64 became int32)."""
    return {name: sample[name].astype(graph.tensors[index].dtype) for name, index in graph.inputs}


def _merge(observed: list[Mapping[str, Any]], true_range: bool) -> dict[str, Any]:
    minima, maxima = [seen["min"].item() for seen in observed], [seen["max"].item() for seen in observed]
    low, high = range_from_samples(minima, maxima, true_range=true_range)
    shape = observed[0]["min"].shape
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
