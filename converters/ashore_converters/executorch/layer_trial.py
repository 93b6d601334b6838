"""An int8 ExecuTorch model with some modules in float, simulated in PyTorch: see :class:`ashore.interfaces.Trial`."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.fx import GraphModule, Interpreter, Node

from ashore.interfaces import Progress
from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore.types.recipe import LayerRule, Recipe
from ashore.types.sensitivity import LayerCost, LayerReading
from ashore.types.tensor import Sample
from ashore_converters.bake import bake
from ashore_converters.executorch.eight_bits import choose_8bit, put_rounded
from ashore_converters.executorch.export import export, sample_tensors
from ashore_converters.executorch.failures import node_path, node_paths
from ashore_converters.executorch.quantize import observed
from ashore_converters.executorch.quantizer import argument, fused_end, layers, weight_of
from ashore_converters.executorch.quiet import quiet_libraries
from ashore_converters.executorch.static import measure_start, multiplications, observe
from ashore_converters.executorch.trial import activation_observers, simulating
from ashore_converters.layer_rules import precision_at
from ashore_converters.repairs.choose import repair
from ashore_converters.sensitivity import reading


class ExecuTorchTrial:
    def __init__(self, request: ConversionRequest, progress: Progress) -> None:
        request = repair(request, progress).request
        self._request = request
        self._graph = export(bake(request.model), request).module(check_guards=False)
        trial, self._recipe = observe(copy.deepcopy(self._graph), request, progress)
        self._watched = trial.graph
        self._seen = {argument(node, 0).name: observer for node, observer in activation_observers(self._watched)}
        progress("measuring which first layers are worth keeping in float")
        self.start = tuple(node_path(node) for node in measure_start(trial)[1])
        rounding = choose_8bit(trial, request, progress)
        self._rounded = {str(key): rounded.values for key, rounded in rounding.rounded.items()}
        self.layers = _costs(self._watched, self._recipe)
        self._tried: tuple[tuple[str, ...], GraphModule] | None = None

    def run(self, sample: Sample, float_modules: tuple[str, ...]) -> Sample:
        """See :class:`ashore.interfaces.Trial`."""
        if self._tried is None or self._tried[0] != float_modules:
            with quiet_libraries():
                self._tried = float_modules, self._with_float(float_modules)
        graph = self._tried[1]
        with torch.no_grad(), simulating(graph):
            results = graph(*sample_tensors(sample, self._request.inputs))
        return {spec.name: tensor.numpy() for spec, tensor in zip(self._request.outputs, results, strict=True)}

    def readings(self, samples: Sequence[Sample]) -> Mapping[str, LayerReading]:
        """See :class:`ashore.interfaces.Trial`."""
        paths = {layer.path for layer in self.layers}
        ends = {fused_end(node): node_path(node) for node in layers(self._watched.graph) if node_path(node) in paths}
        inputs = [sample_tensors(sample, self._request.inputs) for sample in samples]
        real = [_values(self._watched, ends, tensors) for tensors in inputs]
        with simulating(self._watched):
            int8 = [_values(self._watched, ends, tensors) for tensors in inputs]
        return {path: reading([r[path] for r in real], [i[path] for i in int8]) for path in ends.values()}

    def _with_float(self, float_modules: tuple[str, ...]) -> GraphModule:
        """Annotated anew, as whether a tensor is rounded depends on what is int8 on both sides of it."""
        rules = tuple(LayerRule(re.escape(path), Precision.FP32) for path in float_modules)
        recipe = replace(self._recipe, layers=(*rules, *self._recipe.layers))
        graph = observed(copy.deepcopy(self._graph), recipe)
        for node, observer in activation_observers(graph):
            seen = self._seen[argument(node, 0).name]
            observer.minima, observer.maxima, observer.true_range = seen.minima, seen.maxima, seen.true_range
            observer.histogram, observer.caution = seen.histogram, seen.caution
        put_rounded(graph, self._rounded)
        return graph


def _costs(graph: GraphModule, recipe: Recipe) -> tuple[LayerCost, ...]:
    """Of the layers that can be named and that the recipe leaves in static int8; calls of a shared one add up."""
    costs: dict[str, LayerCost] = {}
    for node in layers(graph.graph):
        path = node_path(node)
        if path and precision_at(recipe, node_paths(node)) is Precision.INT8:
            before = costs[path].multiplications if path in costs else 0
            total = before + multiplications(node, graph)
            costs[path] = LayerCost(path, _operator(node), weight_of(node, graph).numel(), total)
    return tuple(costs.values())


def _operator(node: Node) -> str:
    return str(node.target).removeprefix("aten.").partition(".")[0]


def _values(graph: GraphModule, ends: Mapping[Node, str], inputs: tuple[torch.Tensor, ...]) -> dict[str, Any]:
    kept: dict[str, Any] = {}

    class _Keeping(Interpreter):
        def run_node(self, n: Node) -> Any:
            result = super().run_node(n)
            if n in ends:
                kept[ends[n]] = np.array(result.detach().numpy())
            return result

    with torch.no_grad():
        _Keeping(graph).run(*inputs)
    return kept
