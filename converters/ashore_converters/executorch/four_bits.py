"""4-bit weights in the linear layers of a module, as torchao's tensors, which ExecuTorch exports as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from ashore.interfaces import Progress
from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore.types.recipe import Recipe
from ashore.types.tensor import Sample
from ashore_converters.calls import Call, LayerCalls
from ashore_converters.executorch.export import sample_tensors
from ashore_converters.executorch.layers import LinearWeight, linear_weights
from ashore_converters.gptq import Grid, Rounded
from ashore_converters.layer_rules import enclosing, precision_at
from ashore_converters.rounding import Chosen, Key, Matrices, See, choose_4bit


def quantize_4bit(module: torch.nn.Module, request: ConversionRequest, progress: Progress) -> Chosen:
    """In place: 4-bit weights in groups along the input of linear layers, whose inputs are int8 at run time."""
    weights = [weight for weight in linear_weights(module) if _becomes_4bit(weight, request.recipe)]
    matrices: dict[Key, Tensor] = {id(weight.tensor): weight.tensor for weight in weights}  # a shared one counts once

    def run(sample: Sample, see: See) -> None:
        with _Watch(matrices, see):
            module(*sample_tensors(sample, request.inputs))

    chosen = choose_4bit(request, Matrices(matrices, run, _nearest), progress)
    integers = {**chosen.rounded, **chosen.held}
    for weight in weights:
        quantized = _quantized(weight.tensor, request.recipe.group_size, integers.get(id(weight.tensor)))
        setattr(weight.owner, weight.name, torch.nn.Parameter(quantized, requires_grad=False))
    _call_as_function(module)
    return chosen


def _becomes_4bit(weight: LinearWeight, recipe: Recipe) -> bool:
    """Those of torchao's classes are quantized already, and what is in another format stays in it."""
    plain = type(weight.tensor.data) is Tensor and weight.tensor.dtype is torch.float32
    asked = precision_at(recipe, enclosing(weight.path)) is Precision.INT4
    return plain and asked and weight.divides_into(recipe.group_size)


class _Watch(LayerCalls):
    """While it is entered, shows the inputs of these weights' layers."""

    def __init__(self, weights: Mapping[Key, Tensor], see: See) -> None:
        super().__init__()
        self._weights, self._see = weights, see

    def called(self, call: Call) -> Tensor:
        if call.linear and call.key in self._weights:
            self._see(call.key, call.inputs)
        return call.outputs


def _call_as_function(module: torch.nn.Module) -> None:
    """Programs captured before, and ONNX imports, call the operator itself, which torchao's tensors do not answer."""
    for graph in (layer for layer in module.modules() if isinstance(layer, GraphModule)):
        for node in graph.graph.find_nodes(op="call_function", target=torch.ops.aten.linear.default):
            node.target = torch.nn.functional.linear
        graph.recompile()


def _nearest(weight: Tensor, grid: Grid) -> Tensor:
    floats: Tensor = _quantized(weight, grid.group_size or weight.shape[-1]).dequantize()
    return floats


def _quantized(weight: Tensor, group_size: int, rounded: Rounded | None = None) -> Tensor:
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, PerGroup, quantize_

    int4: torch.dtype = torch.int4  # type: ignore[attr-defined]  # absent from torch's stubs
    granularity = PerGroup(group_size)
    config = Int8DynamicActivationIntxWeightConfig(weight_dtype=int4, weight_granularity=granularity)
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    layer.weight = torch.nn.Parameter(weight.detach(), requires_grad=False)
    quantize_(layer, config)
    quantized: Any = layer.weight.data
    if rounded is not None:  # torchao finds integers and scales by itself; these take their place
        quantized.qdata, quantized.scale = rounded.integers, rounded.scales
    tensor: Tensor = quantized
    return tensor
