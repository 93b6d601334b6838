"""Activation ranges of a float LiteRT file, observed on samples."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ashore.types.tensor import Array, Sample
from ashore_converters.litert.file import FileGraph
from ashore_converters.litert.quiet import quiet
from ashore_converters.ranges import range_from_samples

Ranges = Mapping[str, Mapping[str, Any]]
"""Tensor name -> ``min`` and ``max``, as the quantizer takes them."""

_HUGE = 1e6
_OUTPUT_MARGIN = 1.25
_SAME_VALUES = {"RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS"}
"""Operators whose output has the input's values and, in the quantizer, its range."""


class Observed:
    """The extremes of every float tensor of a file, sample by sample."""

    def __init__(self, model: bytes, graph: FileGraph, samples: Iterable[Sample]) -> None:
        self._samples = list(_per_sample(model, graph, samples))
        self._inputs, self._outputs = _edge_tensors(graph)

    def ranges(self, caution: float) -> Ranges:
        """A range for every tensor.

        Args:
            caution: 0 for the mean of the samples' extremes (``ranges`` says why), 1 for all that was seen; between
                them, between. What enters the model always keeps all that was seen, and what leaves it a little
                more, as the most confident answer is hardly among the samples.
        """
        return {name: self._range(name, caution) for name in self._samples[0]}

    def grid_db(self, name: str) -> float:
        """How well 256 even levels over its range describe the middle one of a tensor's rows: SQNR in dB.

        Rounding alone counts; 200 for tensors of integers.
        """
        if name not in self._samples[0]:
            return 200.0
        seen = self._range(name, 0.0)
        step = float(seen["max"].item() - min(seen["min"].item(), 0.0)) / 255
        power = float(np.mean([sample[name]["power"] for sample in self._samples]))
        return 200.0 if step == 0 or power == 0 else 10 * float(np.log10(12 * power / step**2))

    def unquantizable(self) -> frozenset[str]:
        """Tensors whose values no scale can hold, such as masks of minus infinity."""
        return frozenset(
            name for name, seen in self.ranges(1.0).items() if not np.all(np.abs([*seen["min"], *seen["max"]]) < _HUGE)
        )

    def _range(self, name: str, caution: float) -> dict[str, Any]:
        seen = [sample[name] for sample in self._samples]
        minima, maxima = [one["min"].item() for one in seen], [one["max"].item() for one in seen]
        mean, true = range_from_samples(minima, maxima), range_from_samples(minima, maxima, true_range=True)
        if name in self._inputs | self._outputs:
            caution = 1.0
        margin = _OUTPUT_MARGIN if name in self._outputs else 1.0
        low, high = (margin * (m + caution * (t - m)) for m, t in zip(mean, true, strict=True))
        shape = seen[0]["min"].shape
        return {"min": np.full(shape, low, np.float32), "max": np.full(shape, high, np.float32)}


def _per_sample(model: bytes, graph: FileGraph, samples: Iterable[Sample]) -> Iterator[Ranges]:
    """The quantizer's own calibrator gives the same values in seven times the time."""
    computed = (*(i for op in graph.ops for i in op.outputs), *(i for _, i in graph.inputs))
    read = graph.read()
    kept = [i for i in computed if graph.tensors[i].dtype == "float32" and i in read]
    with quiet():
        interpreter = open_interpreter(model, keep_all_tensors=True)
        runner: Any = interpreter.get_signature_runner()
    for sample in samples:
        runner(**file_inputs(sample, graph))
        yield {graph.tensors[index].name: _extremes(interpreter.get_tensor(index)) for index in kept}


def _extremes(values: Array) -> dict[str, Any]:
    """Kept in the tensor's rank, which the quantizer expects where a constant shares the range."""
    rows = np.mean(np.square(np.atleast_1d(values), dtype=np.float64), axis=-1)
    return {"min": np.min(values, keepdims=True), "max": np.max(values, keepdims=True), "power": np.median(rows)}


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


def _edge_tensors(graph: FileGraph) -> tuple[frozenset[str], frozenset[str]]:
    """Names of the input and of the output tensors, each with those that hold the same values beside them."""
    inputs, outputs = {index for _, index in graph.inputs}, {index for _, index in graph.outputs}
    for op in graph.ops:
        if op.name in _SAME_VALUES and op.inputs[0] in inputs:
            inputs.update(op.outputs)
    for op in reversed(graph.ops):
        if op.name in _SAME_VALUES and op.outputs[0] in outputs:
            outputs.add(op.inputs[0])
    return _names(inputs, graph), _names(outputs, graph)


def _names(indices: Iterable[int], graph: FileGraph) -> frozenset[str]:
    return frozenset(graph.tensors[index].name for index in indices)
