"""Static int8 that stays close to PyTorch: what the recipe leaves open is settled here, on calibration samples only.

Each decision is written into the recipe as layer rules:

- A linear layer that makes the scores keeps int8 weights but quantizes its input at run time, so that the scores
  themselves are never rounded to 256 levels, whose ends the calibration samples cannot know.
- The first layers stay in float where that measurably pays (see ``sensitivity``).
"""

from __future__ import annotations

import re
from dataclasses import replace
from math import prod

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, GraphModule, Node
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

from ashore.interfaces import Progress
from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore.types.recipe import LayerRule, RangeEstimator, Recipe
from ashore_converters.executorch.edges import with_int8_edges
from ashore_converters.executorch.eight_bits import round_8bit
from ashore_converters.executorch.export import export_again, sample_tensors
from ashore_converters.executorch.failures import node_path
from ashore_converters.executorch.graph import dequantize_for_each, fence_float_convolutions
from ashore_converters.executorch.observers import ActivationObserver
from ashore_converters.executorch.quantize import QuantizedProgram, observed
from ashore_converters.executorch.quantizer import argument, fused_end, is_linear, layers, weight_of
from ashore_converters.executorch.trial import Trial, activation_observers, drop_observers, observer_at, run
from ashore_converters.ranges import CAUTIONS, counts_values
from ashore_converters.sensitivity import MAX_LAYERS, FloatStart, choose_float_start

_CAUTION_GAIN_DB = 1.0
"""What ranges wider than the mean must win on calibration samples, which are too few to tell by less."""

MAX_FLOAT_SHARE = 0.1
"""Of a model's multiplications: more float than that at its start could be felt in its latency."""

_aten = torch.ops.aten
_BEHIND_SCORES = {
    _aten.softmax.int,
    _aten.log_softmax.int,
    _aten.sigmoid.default,
    _aten.view.default,
    _aten.reshape.default,
    _aten.flatten.using_ints,
    _aten.squeeze.dim,
    _aten.unsqueeze.default,
}
"""Operators that may stand between the layer that makes the scores and the model's output."""


def quantize_static(program: ExportedProgram, request: ConversionRequest, progress: Progress) -> QuantizedProgram:
    """int8 weights and activations, with ranges observed on the calibration samples one by one."""
    trial, recipe = observe(program.module(check_guards=False), request, progress)
    warnings: tuple[str, ...] = ()
    if not (request.recipe.layers or request.recipe.int8_io):  # else the user has decided which layers are float
        progress("measuring which first layers are worth keeping in float")
        recipe, warnings = _choose_start(trial, recipe)
    chosen = round_8bit(trial, request, progress)
    converted = convert_pt2e(trial.graph)
    fence_float_convolutions(converted)
    dequantize_for_each(converted)
    if request.recipe.int8_io:
        request = with_int8_edges(converted, request)
    return QuantizedProgram(export_again(converted, request), request.inputs, request.outputs, recipe, warnings, chosen)


def observe(graph: GraphModule, request: ConversionRequest, progress: Progress) -> tuple[Trial, Recipe]:
    """``graph`` with observers that have seen the calibration samples, and the recipe with rules for its scores."""
    recipe = request.recipe if request.recipe.int8_io else _with_unrounded_scores(request.recipe, graph.graph)
    prepared = observed(graph, recipe)
    progress(f"observing ranges on {len(request.calibration)} samples")
    inputs = [sample_tensors(sample, request.inputs) for sample in request.calibration]
    run(prepared, inputs)
    observers = [observer for _, observer in activation_observers(prepared)]
    if counts_values(recipe.ranges):
        for observer in observers:
            observer.count()
        run(prepared, inputs)
    _keep_output_ranges(prepared)
    trial = Trial(prepared, request)
    if recipe.ranges is RangeEstimator.MEAN:
        _choose_caution(trial)
    return trial, recipe


def _choose_caution(trial: Trial) -> None:
    """By measurement: the mean of the samples' extremes, all that was seen, or the middle between them."""
    observers = [observer for _, observer in activation_observers(trial.graph) if not observer.true_range]
    if not observers:
        return

    def measured_db(caution: float) -> float:
        for observer in observers:
            observer.caution = caution
        return trial.sqnr_db()

    measured = {caution: measured_db(caution) for caution in CAUTIONS}
    best = max(CAUTIONS, key=lambda caution: measured[caution] - (_CAUTION_GAIN_DB if caution else 0.0))
    for observer in observers:
        observer.caution = best


def _with_unrounded_scores(recipe: Recipe, graph: Graph) -> Recipe:
    (output,) = (node for node in graph.nodes if node.op == "output")
    makers = [_maker(node) for node in output.all_input_nodes]
    paths = dict.fromkeys(node_path(node) for node in makers if is_linear(node))
    rules = [LayerRule(re.escape(path), Precision.INT8_DYNAMIC) for path in paths if path]
    return replace(recipe, layers=tuple(dict.fromkeys((*recipe.layers, *rules))))


def _maker(node: Node) -> Node:
    while node.target in _BEHIND_SCORES:
        node = argument(node, 0)
    return node


def _keep_output_ranges(prepared: GraphModule) -> None:
    """Where only data movement follows on the way to an output, nothing averages out what a range clips."""
    (output,) = (node for node in prepared.graph.nodes if node.op == "output")
    for node in output.all_input_nodes:
        while node.op == "call_function" and len(node.all_input_nodes) == 1:
            node = node.all_input_nodes[0]
        observer = observer_at(prepared, node)
        if isinstance(observer, ActivationObserver):
            observer.true_range = True


def _choose_start(trial: Trial, recipe: Recipe) -> tuple[Recipe, tuple[str, ...]]:
    found, first = measure_start(trial)
    kept = [node_path(node) for node in first]
    drop_observers(trial.graph, first)
    rules = tuple(LayerRule(re.escape(path), Precision.FP32) for path in kept)
    return replace(recipe, layers=(*rules, *recipe.layers)), _told(found, kept, trial.samples)


def measure_start(trial: Trial) -> tuple[FloatStart, list[Node]]:
    """What the first layers gain by staying in float, and those of them that should."""
    first = _first_layers(trial.graph)
    found = choose_float_start(lambda count: trial.sqnr_db(first[:count]), len(first))
    return found, first[: found.layers]


def _first_layers(prepared: GraphModule) -> list[Node]:
    """Layers from the start of the graph while they follow one another, can be named, and are cheap."""
    every = list(layers(prepared.graph))
    limit = MAX_FLOAT_SHARE * sum(multiplications(node, prepared) for node in every)
    first: list[Node] = []
    for node in every[:MAX_LAYERS]:
        path = node_path(node)
        shared = sum(f"{node_path(other)}.".startswith(f"{path}.") for other in every) > 1
        taken = sum(multiplications(layer, prepared) for layer in [*first, node])
        if not path or shared or taken > limit or not _follows(node, first):
            break
        first.append(node)
    return first


def _follows(layer: Node, before: list[Node]) -> bool:
    """Whether nothing but one chain of operators lies between the last of ``before``, or an input, and ``layer``."""
    node = argument(layer, 0)
    while len(node.users) == 1 and node.op != "placeholder":
        if before and node is fused_end(before[-1]):
            return True
        if len(node.all_input_nodes) != 1:
            return False
        node = node.all_input_nodes[0]
    return node.op == "placeholder" and not before


def multiplications(layer: Node, prepared: GraphModule) -> int:
    weight = weight_of(layer, prepared)
    return prod(int(size) for size in layer.meta["val"].shape) * weight[0].numel()


def _told(found: FloatStart, kept: list[str], samples: int) -> tuple[str, ...]:
    if not kept:
        return ()
    subject = "first layer stays" if len(kept) == 1 else f"first {len(kept)} layers stay"
    return (
        f"the {subject} in fp32 ({', '.join(kept)}): on {samples} calibration samples that "
        f"raises SQNR from {found.int8_sqnr_db:.1f} to {found.sqnr_db:.1f} dB",
    )
