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
from ashore_converters.litert.calibrate import file_inputs, open_interpreter, opened, real_values
from ashore_converters.litert.eight_bits import choose_8bit
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
        measured, decided = self._measured, replace(request, recipe=self._recipe)
        self._rounding = choose_8bit(measured.file, decided, progress, self._ranges, measured.kept)
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
        recipe = replace(self._recipe, layers=(*rules, *self._recipe.layers))
        return self._measured.quantized(recipe, self._ranges, self._rounding)

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
    run, used = opened(content, graph), graph.read()
    kept = [
        (i, t.name) for i, t in enumerate(graph.tensors) if t.dtype in ("float32", "int8") and t.shape and i in used
    ]
    return [{name: real_values(index, graph, read) for index, name in kept} for read in map(run, samples)]
