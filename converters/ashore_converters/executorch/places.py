"""Where the layers of a captured program stand in the user's model."""

from __future__ import annotations

import torch
from torch.fx import Graph, Node

from ashore.types.conversion import LayerKind, PlacedLayer
from ashore_converters.executorch.failures import node_path

_aten = torch.ops.aten
_TRANSPOSED = {_aten.conv_transpose1d.default, _aten.conv_transpose2d.input}
_CONVOLUTIONS = {_aten.conv1d.default, _aten.conv2d.default, _aten.conv1d.padding, _aten.conv2d.padding}
_GROUPS = 6


def placed_layers(graph: Graph) -> tuple[PlacedLayer, ...]:
    """Layers with weights in the order of the graph, which is the order in which XNNPACK computes them."""
    found = ((node, _kind(node)) for node in graph.nodes if node.op == "call_function")
    return tuple(PlacedLayer(node_path(node), kind) for node, kind in found if kind is not None)


def _kind(node: Node) -> LayerKind | None:
    if node.target in _TRANSPOSED:
        return LayerKind.TRANSPOSED
    if node.target in _CONVOLUTIONS:
        return LayerKind.DEPTHWISE if _is_depthwise(node) else LayerKind.DENSE
    return LayerKind.DENSE if node.target is _aten.linear.default else None


def _is_depthwise(node: Node) -> bool:
    groups = node.args[_GROUPS] if len(node.args) > _GROUPS else 1
    source = node.args[0]
    channels = source.meta["val"].shape[1] if isinstance(source, Node) else 0
    return bool(groups != 1 and groups == channels)
