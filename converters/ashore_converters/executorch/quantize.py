"""Quantize a captured program to int8."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from ashore.interfaces import Progress
from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore.types.recipe import Recipe
from ashore.types.tensor import TensorSpec
from ashore_converters.executorch.eight_bits import round_8bit
from ashore_converters.executorch.export import example_tensors, export_again
from ashore_converters.executorch.failures import node_paths
from ashore_converters.executorch.norms import unfold_shared_norms
from ashore_converters.executorch.observers import specs
from ashore_converters.executorch.quantizer import GraphQuantizer
from ashore_converters.executorch.trial import Trial
from ashore_converters.layer_rules import precision_at
from ashore_converters.rounding import Chosen


@dataclass(frozen=True)
class QuantizedProgram:
    """A quantized program with its edges, the recipe that was carried out, and what the user should know of it."""

    program: ExportedProgram
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    recipe: Recipe
    warnings: tuple[str, ...] = ()
    rounding: Chosen = field(default_factory=Chosen)


def quantize_dynamic(program: ExportedProgram, request: ConversionRequest, progress: Progress) -> QuantizedProgram:
    """int8 weights in linear layers, whose inputs are quantized at run time."""
    prepared = observed(program.module(check_guards=False), request.recipe)
    with torch.no_grad():
        prepared(*example_tensors(request))  # weights are observed as they are used
    rounding = round_8bit(Trial(prepared, request), request, progress)
    quantized = export_again(convert_pt2e(prepared), request)
    return QuantizedProgram(quantized, request.inputs, request.outputs, request.recipe, rounding=rounding)


def observed(graph: GraphModule, recipe: Recipe) -> GraphModule:
    """A program's graph with an observer wherever the recipe wants int8."""

    def precision_of(node: Node) -> Precision:
        return precision_at(recipe, node_paths(node))

    unfold_shared_norms(graph)
    prepared: GraphModule = prepare_pt2e(graph, GraphQuantizer(specs(recipe.ranges), precision_of))
    return prepared
