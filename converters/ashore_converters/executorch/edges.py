"""int8 tensors at the edge of a quantized graph instead of float ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.fx import GraphModule, Node

from ashore.errors import UnsupportedModel
from ashore.types.conversion import ConversionRequest
from ashore.types.tensor import Array, Quantization, TensorSpec

_quantize = torch.ops.quantized_decomposed.quantize_per_tensor.default
_dequantize = torch.ops.quantized_decomposed.dequantize_per_tensor.default


def with_int8_edges(graph: GraphModule, request: ConversionRequest) -> ConversionRequest:
    """Change ``graph`` in place and return the request as it then reads: specs with scales, an int8 example.

    Raises:
        UnsupportedModel: a float input or output is not quantized where it enters or leaves.
    """
    placeholders = [node for node in graph.graph.nodes if node.op == "placeholder"]
    inputs = tuple(_open_input(node, spec) for node, spec in zip(placeholders, request.inputs, strict=True))
    outputs = _open_outputs(graph, request.outputs)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    example = {spec.name: _stored(request.example[spec.name], spec) for spec in inputs}
    return replace(request, inputs=inputs, outputs=outputs, example=example)


def _open_input(node: Node, spec: TensorSpec) -> TensorSpec:
    if spec.dtype != "float32":
        return spec
    users = list(node.users)
    if not users or any(user.target is not _quantize or user.args[1:] != users[0].args[1:] for user in users):
        raise _not_quantized("input", spec)
    for user in users:
        user.replace_all_uses_with(node)
    return _int8(spec, users[0])


def _open_outputs(graph: GraphModule, specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    output = graph.graph.output_node()
    results = output.args[0]
    assert isinstance(results, list | tuple)
    opened, described = list(results), []
    for index, (node, spec) in enumerate(zip(results, specs, strict=True)):
        described.append(spec)
        if spec.dtype == "float32":
            if not isinstance(node, Node) or node.target is not _dequantize:
                raise _not_quantized("output", spec)
            opened[index], described[index] = node.args[0], _int8(spec, node)
    output.args = (tuple(opened),)
    return tuple(described)


def _int8(spec: TensorSpec, node: Node) -> TensorSpec:
    scale, zero_point = node.args[1:3]
    assert isinstance(scale, float) and isinstance(zero_point, int)
    return replace(spec, dtype="int8", quantization=Quantization(scale, zero_point))


def _not_quantized(kind: str, spec: TensorSpec) -> UnsupportedModel:
    return UnsupportedModel(
        f"int8_io: {kind} '{spec.name}' is not quantized at the model's edge, as an operator there stays in float",
        "drop int8_io; the file's inner layers are int8 all the same",
    )


def _stored(array: Array, spec: TensorSpec) -> Array:
    if spec.quantization is None:
        return array
    levels = np.rint(array.astype(np.float32) / spec.quantization.scale) + spec.quantization.zero_point
    stored: Array = np.clip(levels, -128, 127).astype(np.int8)
    return stored
