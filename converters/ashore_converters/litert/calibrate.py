"""Activation ranges of a float LiteRT file, observed on samples."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ashore.types.recipe import RangeEstimator
from ashore.types.tensor import Array, Sample
from ashore_converters.litert.file import FileGraph
from ashore_converters.litert.quiet import quiet
from ashore_converters.ranges import Histogram, counts_values, range_from_samples

Ranges = Mapping[str, Mapping[str, Any]]
"""Tensor name -> ``min`` and ``max``, as the quantizer takes them."""

Read = Callable[[int], Array]
"""Gives a tensor's values by its index in the file."""

_HUGE = 1e6
_OUTPUT_MARGIN = 1.25
_SAME_VALUES = {"RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS"}
"""Operators whose output has the input's values and, in the quantizer, its range."""


class Observed:
    """The extremes of every float tensor of a file, sample by sample, and histograms where the estimator needs them."""

    def __init__(self, model: bytes, graph: FileGraph, samples: Sequence[Sample], estimator: RangeEstimator) -> None:
        self.estimator = estimator
        tensors, run = _float_tensors(graph), opened(model, graph)
        self._samples: list[Ranges] = []
        for read in map(run, samples):
            self._samples.append({name: _extremes(read(index)) for name, index in tensors.items()})
        self._histograms: dict[str, Histogram] = {}
        self._inputs, self._outputs = _edge_tensors(graph)
        if counts_values(estimator):
            extremes = {name: self._all_extremes(name) for name in tensors}
            self._histograms = {name: Histogram(min(low), max(high)) for name, (low, high) in extremes.items()}
            for read in map(run, samples):
                for name, index in tensors.items():
                    self._histograms[name].add(read(index))

    def ranges(self, caution: float) -> Ranges:
        """A range for every tensor.

        Args:
            caution: as ``ashore_converters.ranges`` has it. What enters the model always keeps all that was seen, and
                what leaves it a little more, as the most confident answer is hardly among the samples.
        """
        return {name: self._range(name, caution) for name in self._samples[0]}

    def grid_db(self, name: str) -> float:
        """How well 256 even levels over its range describe the middle one of a tensor's rows: SQNR in dB.

        Rounding alone counts; 200 for tensors of integers.
        """
        if name not in self._samples[0]:
            return 200.0
        seen = self._range(name, 0.0, RangeEstimator.MEAN)  # an outlier that is cut off is an outlier all the same
        step = float(seen["max"].item() - min(seen["min"].item(), 0.0)) / 255
        power = float(np.mean([sample[name]["power"] for sample in self._samples]))
        return 200.0 if step == 0 or power == 0 else 10 * float(np.log10(12 * power / step**2))

    def unquantizable(self) -> frozenset[str]:
        """Tensors whose values no scale can hold, such as masks of minus infinity."""
        return frozenset(
            name for name, seen in self.ranges(1.0).items() if not np.all(np.abs([*seen["min"], *seen["max"]]) < _HUGE)
        )

    def _range(self, name: str, caution: float, estimator: RangeEstimator | None = None) -> dict[str, Any]:
        minima, maxima = self._all_extremes(name)
        low, high = range_from_samples(
            minima,
            maxima,
            estimator=estimator or self.estimator,
            histogram=self._histograms.get(name),
            caution=1.0 if name in self._inputs | self._outputs else caution,
        )
        margin = _OUTPUT_MARGIN if name in self._outputs else 1.0
        shape = self._samples[0][name]["min"].shape
        return {
            "min": np.full(shape, margin * low, np.float32),
            "max": np.full(shape, margin * high, np.float32),
        }

    def _all_extremes(self, name: str) -> tuple[list[float], list[float]]:
        seen = [sample[name] for sample in self._samples]
        return [one["min"].item() for one in seen], [one["max"].item() for one in seen]


def opened(model: bytes, graph: FileGraph) -> Callable[[Sample], Read]:
    """A file to be run on one sample after another; each run gives what reads its tensors until the next one.

    The quantizer's own calibrator gives the same values in seven times the time.
    """
    with quiet():
        interpreter = open_interpreter(model, keep_all_tensors=True)
        runner: Any = interpreter.get_signature_runner()

    def run(sample: Sample) -> Read:
        runner(**file_inputs(sample, graph))
        read: Read = interpreter.get_tensor
        return read

    return run


def real_values(index: int, graph: FileGraph, read: Read) -> Array:
    """The numbers that an int8 tensor stands for, or those of a float one."""
    values, found = read(index), graph.tensors[index].spec.quantization
    if found is None:
        return values
    real: Array = ((values.astype(np.int32) - found.zero_point) * found.scale).astype(np.float32)
    return real


def _float_tensors(graph: FileGraph) -> dict[str, int]:
    """Those that are computed or given, and used."""
    computed = (*(i for op in graph.ops for i in op.outputs), *(i for _, i in graph.inputs))
    read = graph.read()
    return {graph.tensors[i].name: i for i in computed if graph.tensors[i].dtype == "float32" and i in read}


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


def file_outputs(content: bytes, inputs: Sequence[Sample]) -> list[Array]:
    """All outputs on all inputs, sample after sample."""
    with quiet():
        runner: Any = open_interpreter(content).get_signature_runner()
        return [array for sample in inputs for _, array in sorted(runner(**sample).items())]


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
