"""Quantize a captured program (int8) or its module (4-bit weights)."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore.types.recipe import Recipe
from ashore_converters.executorch_export import example_tensors, export_again
from ashore_converters.executorch_failures import node_paths
from ashore_converters.executorch_layers import enclosing, linear_weights, precision_at
from ashore_converters.executorch_norms import unfold_shared_norms
from ashore_converters.executorch_observers import specs
from ashore_converters.executorch_quantizer import GraphQuantizer


def quantize_dynamic(program: ExportedProgram, request: ConversionRequest) -> ExportedProgram:
    """int8 weights in linear layers, whose inputs are quantized at run time."""
    prepared = observed(program.module(check_guards=False), request.recipe)
    with torch.no_grad():
        prepared(*example_tensors(request))  # weights are observed as they are used
    return export_again(convert_pt2e(prepared), request)


def observed(graph: GraphModule, recipe: Recipe) -> GraphModule:
    """A program's graph with an observer wherever the recipe wants int8."""

    def precision_of(node: Node) -> Precision:
        return precision_at(recipe, node_paths(node))

    unfold_shared_norms(graph)
    prepared: GraphModule = prepare_pt2e(graph, GraphQuantizer(specs(), precision_of))
    return prepared


def quantize_4bit(module: torch.nn.Module, recipe: Recipe) -> None:
    """In place: 4-bit weights in groups along the input of linear layers, whose inputs are int8 at run time."""
    for weight in list(linear_weights(module)):
        plain = type(weight.tensor.data) is torch.Tensor
        asked = precision_at(recipe, enclosing(weight.path)) is Precision.INT4
        if plain and asked and weight.divides_into(recipe.group_size):
            quantized = _quantized_4bit(weight.tensor, recipe.group_size)
            setattr(weight.owner, weight.name, torch.nn.Parameter(quantized, requires_grad=False))
    _call_as_function(module)


def _call_as_function(module: torch.nn.Module) -> None:
    """Programs captured before, and ONNX imports, call the operator itself, which torchao's tensors do not answer."""
    for graph in (layer for layer in module.modules() if isinstance(layer, GraphModule)):
        for node in graph.graph.find_nodes(op="call_function", target=torch.ops.aten.linear.default):
            node.target = torch.nn.functional.linear
        graph.recompile()


def _quantized_4bit(weight: torch.Tensor, group_size: int) -> torch.Tensor:
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, PerGroup, quantize_

    int4: torch.dtype = torch.int4  # type: ignore[attr-defined]  # absent from torch's stubs
    granularity = PerGroup(group_size)
    config = Int8DynamicActivationIntxWeightConfig(weight_dtype=int4, weight_granularity=granularity)
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    layer.weight = torch.nn.Parameter(weight.detach(), requires_grad=False)
    quantize_(layer, config)
    return layer.weight.data
