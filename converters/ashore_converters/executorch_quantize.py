"""Quantize a captured program (static and dynamic int8) or its module (4-bit weights)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.export import ExportedProgram
from torch.fx import Node
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from ashore.interfaces import Progress
from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore.types.recipe import Recipe
from ashore_converters.executorch_export import export, sample_tensors
from ashore_converters.executorch_failures import node_paths
from ashore_converters.executorch_layers import enclosing, linear_weights, precision_at
from ashore_converters.executorch_observers import SampleRangeObserver, dynamic_specs, static_specs
from ashore_converters.executorch_quantizer import GraphQuantizer, LinearQuantizer


def quantize_static(program: ExportedProgram, request: ConversionRequest, progress: Progress) -> ExportedProgram:
    """int8 weights and activations, ranges observed on the calibration samples one by one."""
    graph = program.module(check_guards=False)
    prepared = prepare_pt2e(graph, GraphQuantizer(static_specs(), wanted_by(request.recipe)))
    progress(f"calibrating on {len(request.calibration)} samples")
    with torch.no_grad():
        for sample in request.calibration:
            prepared(*sample_tensors(sample, request.inputs))
    mark_output_ranges(prepared)
    return export(convert_pt2e(prepared), request)


def quantize_dynamic(program: ExportedProgram, request: ConversionRequest) -> ExportedProgram:
    """int8 weights in linear layers, whose inputs are quantized at run time."""
    graph = program.module(check_guards=False)
    prepared = prepare_pt2e(graph, LinearQuantizer(dynamic_specs(), wanted_by(request.recipe)))
    with torch.no_grad():
        prepared(*sample_tensors(request.example, request.inputs))  # weights are observed as they are used
    return export(convert_pt2e(prepared), request)


def quantize_4bit(module: torch.nn.Module, recipe: Recipe) -> None:
    """In place: 4-bit weights in groups along the input of linear layers, whose inputs are int8 at run time."""
    for weight in list(linear_weights(module)):
        plain = type(weight.tensor.data) is torch.Tensor
        asked = precision_at(recipe, enclosing(weight.path)) is Precision.INT4
        if plain and asked and weight.divides_into(recipe.group_size):
            quantized = _quantized_4bit(weight.tensor, recipe.group_size)
            setattr(weight.owner, weight.name, torch.nn.Parameter(quantized, requires_grad=False))


def _quantized_4bit(weight: torch.Tensor, group_size: int) -> torch.Tensor:
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, PerGroup, quantize_

    int4: torch.dtype = torch.int4  # type: ignore[attr-defined]  # absent from torch's stubs
    granularity = PerGroup(group_size)
    config = Int8DynamicActivationIntxWeightConfig(weight_dtype=int4, weight_granularity=granularity)
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    layer.weight = torch.nn.Parameter(weight.detach(), requires_grad=False)
    quantize_(layer, config)
    return layer.weight.data


def wanted_by(recipe: Recipe) -> Callable[[Node], bool]:
    """Whether the recipe lets the module a node comes from be quantized."""
    return lambda node: precision_at(recipe, node_paths(node)) is not Precision.FP32


def mark_output_ranges(prepared: torch.fx.GraphModule) -> None:
    """Observers from which only data movement leads to an output keep the true range."""
    (output,) = (node for node in prepared.graph.nodes if node.op == "output")
    for node in output.all_input_nodes:
        observer = _observer_behind(prepared, node)
        if observer is not None:
            observer.true_range = True


def _observer_behind(prepared: torch.fx.GraphModule, node: Node) -> SampleRangeObserver | None:
    while node.op == "call_function" and len(node.all_input_nodes) == 1:
        node = node.all_input_nodes[0]
    module = prepared.get_submodule(str(node.target)) if node.op == "call_module" else None
    return module if isinstance(module, SampleRangeObserver) else None
