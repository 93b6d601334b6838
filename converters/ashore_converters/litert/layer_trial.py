"""An int8 LiteRT file with some modules in float, made and run in memory: see :class:`ashore.interfaces.Trial`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ashore.interfaces import Progress
from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore.types.recipe import LayerRule
from ashore.types.sensitivity import LayerCost, LayerReading
from ashore.types.tensor import Array, Sample
from ashore_converters.litert.calibrate import file_inputs, open_interpreter
from ashore_converters.litert.file import FileGraph, FileOp, read_graph
from ashore_converters.litert.float import multiplications
from ashore_converters.litert.layers import WEIGHTED
from ashore_converters.litert.quiet import quiet
from ashore_converters.litert.static import measure
from ashore_converters.sensitivity import reading


class LiteRTTrial:
    def __init__(self, content: bytes, request: ConversionRequest, progress: Progress) -> None:
        self._request = request
        self._measured, self._recipe, observed = measure(content, request, progress)
        progress("measuring ranges and float layers on the calibration samples")
        self._ranges = self._measured.best_ranges(self._recipe, observed)
        _, rules = self._measured.best_start(self._recipe, self._ranges)
        self.start = tuple(re.sub(r"\\(.)", r"\1", rule.pattern) for rule in rules)
        self._ops = self._int8_ops()
        self.layers = _costs(self._ops, self._measured.file.graph)
        self._tried: tuple[tuple[str, ...], FileGraph, Any] | None = None

    def run(self, sample: Sample, float_modules: tuple[str, ...]) -> Sample:
        """See :class:`ashore.interfaces.Trial`."""
        if self._tried is None or self._tried[0] != float_modules:
            content = self._with_float(float_modules)
            with quiet():
                runner = open_interpreter(content).get_signature_runner()
            self._tried = float_modules, read_graph(content, "the trial file"), runner
        _, graph, runner = self._tried
        got: dict[str, Array] = runner(**file_inputs(sample, graph))
        return {spec.name: got[spec.name].astype(spec.dtype) for spec in self._request.outputs}

    def readings(self, samples: Sequence[Sample]) -> Mapping[str, LayerReading]:
        """See :class:`ashore.interfaces.Trial`."""
        graph = self._measured.file.graph
        names = {path: graph.tensors[op.outputs[0]].name for path, op in self._ops.items()}
        real = _values(self._measured.file.content, samples)
        int8 = _values(self._with_float(()), samples)
        found = {path: name for path, name in names.items() if name in real[0] and name in int8[0]}
        return {path: reading([r[name] for r in real], [i[name] for i in int8]) for path, name in found.items()}

    def _with_float(self, float_modules: tuple[str, ...]) -> bytes:
        rules = tuple(LayerRule(re.escape(path), Precision.FP32) for path in float_modules)
        return self._measured.quantized(replace(self._recipe, layers=(*rules, *self._recipe.layers)), self._ranges)

    def _int8_ops(self) -> dict[str, FileOp]:
        """The last operator with weights of every module that has a name and that the recipe leaves in static int8."""
        file, found = self._measured.file, {}
        for op in file.graph.ops:
            path = file.layers.own(op)
            static = file.layers.asked_precision(op, self._recipe) is Precision.INT8
            if op.name in WEIGHTED and op.name != "EMBEDDING_LOOKUP" and path and static:
                found[path] = op
        return found


def _costs(ops: Mapping[str, FileOp], graph: FileGraph) -> tuple[LayerCost, ...]:
    return tuple(
        LayerCost(path, op.name.lower(), _weights(op, graph), multiplications(op, graph)) for path, op in ops.items()
    )


def _weights(op: FileOp, graph: FileGraph) -> int:
    return int(np.prod(graph.tensors[op.inputs[1]].shape))


def _values(content: bytes, samples: Sequence[Sample]) -> list[dict[str, Array]]:
    """Every float tensor, and every int8 one as the numbers it stands for, by name, sample by sample."""
    graph = read_graph(content, "the trial file")
    with quiet():
        interpreter = open_interpreter(content, keep_all_tensors=True)
        runner: Any = interpreter.get_signature_runner()
    read = graph.read()
    details = [detail for detail in interpreter.get_tensor_details() if detail["dtype"] in (np.float32, np.int8)]
    found = []
    for sample in samples:
        runner(**file_inputs(sample, graph))
        found.append(
            {
                detail["name"]: _real(interpreter.get_tensor(detail["index"]), detail)
                for detail in details
                if detail["shape"].size and detail["index"] in read
            }
        )
    return found


def _real(values: Array, detail: Mapping[str, Any]) -> Array:
    if values.dtype != np.int8 or detail["quantization"][0] == 0:
        return np.array(values)
    scale, zero_point = detail["quantization"]
    real: Array = ((values.astype(np.int32) - zero_point) * scale).astype(np.float32)
    return real
