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
from ashore_converters.bake import user_path
from ashore_converters.executorch_export import export, sample_tensors
from ashore_converters.executorch_failures import node_path
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
    return export(convert_pt2e(prepared), request)


def quantize_4bit(module: torch.nn.Module, recipe: Recipe) -> None:
    """In place: 4-bit weights in groups along the input of linear layers, whose inputs are int8 at run time."""
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, PerGroup, quantize_

    def wanted(layer: torch.nn.Module, path: str) -> bool:
        return is_4bit_linear(layer, recipe.group_size) and recipe.precision_of(user_path(path)) is Precision.INT4

    granularity = PerGroup(recipe.group_size)
    config = Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int4, weight_granularity=granularity)
    quantize_(module, config, wanted)


def is_4bit_linear(layer: torch.nn.Module, group_size: int) -> bool:
    """A linear layer with plain weights whose inputs divide into groups of ``group_size``."""
    plain = isinstance(layer, torch.nn.Linear) and type(layer.weight.data) is torch.Tensor
    return plain and layer.weight.shape[1] % group_size == 0


def wanted_by(recipe: Recipe) -> Callable[[Node], bool]:
    """Whether the recipe lets the module a node comes from be quantized."""
    return lambda node: recipe.precision_of(node_path(node)) is not Precision.FP32


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
