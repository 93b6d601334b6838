"""Batch norms that cannot become part of the layer before them."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node

_aten = torch.ops.aten
_NORMS = {_aten.batch_norm.default, _aten._native_batch_norm_legit_no_training.default}
_MEAN, _VARIANCE = 3, 4


def unfold_shared_norms(graph: GraphModule) -> None:
    """In place: a batch norm whose input is used elsewhere as well becomes a multiplication and an addition.

    torchao folds every batch norm into the convolution or linear layer before it, also where a residual connection
    goes on to use that layer's output, which then silently holds other numbers (torchao 0.18). Of one without running
    statistics it does not notice that there is nothing to fold.
    """
    for node in list(graph.graph.nodes):
        if node.op == "call_function" and node.target in _NORMS:
            if node.args[_MEAN] is None:
                _set_apart(graph, node)
            elif len(node.args[0].users) > 1:
                _unfold(graph, node)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _set_apart(graph: GraphModule, norm: Node) -> None:
    source: Any = norm.args[0]
    with graph.graph.inserting_before(norm):
        copied = graph.graph.call_function(_aten.clone.default, (source,))
    copied.meta = dict(source.meta)
    norm.replace_input_with(source, copied)


def _unfold(graph: GraphModule, norm: Node) -> None:
    source: Any = norm.args[0]
    scale, shift = _affine(graph, norm, source.meta["val"].dim())
    with graph.graph.inserting_before(norm):
        factor, offset = _constant(graph, norm, "scale", scale), _constant(graph, norm, "shift", shift)
        scaled = graph.graph.call_function(_aten.mul.Tensor, (source, factor))
        shifted = graph.graph.call_function(_aten.add.Tensor, (scaled, offset))
    scaled.meta, shifted.meta = dict(norm.meta), dict(norm.meta)
    norm.replace_all_uses_with(shifted)
    graph.graph.erase_node(norm)


def _affine(graph: GraphModule, norm: Node, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """``y = scale * x + shift``, shaped to broadcast along the channels, which are the second axis."""
    mean, variance = (_tensor(graph, norm.args[index]) for index in (_MEAN, _VARIANCE))
    weight = torch.ones_like(mean) if norm.args[1] is None else _tensor(graph, norm.args[1])
    bias = torch.zeros_like(mean) if norm.args[2] is None else _tensor(graph, norm.args[2])
    scale = weight / torch.sqrt(variance + _epsilon(norm))
    shape = (1, -1, *[1] * (rank - 2))
    return scale.reshape(shape), (bias - mean * scale).reshape(shape)


def _epsilon(norm: Node) -> float:
    place = 7 if norm.target is _aten.batch_norm.default else 6
    value: Any = norm.args[place]
    return float(value)


def _tensor(graph: GraphModule, node: Any) -> torch.Tensor:
    owner, _, name = str(node.target).rpartition(".")
    tensor: torch.Tensor = getattr(graph.get_submodule(owner), name)
    return tensor.detach()


def _constant(graph: GraphModule, norm: Node, kind: str, value: torch.Tensor) -> Node:
    name = f"{norm.name}_{kind}"
    graph.register_buffer(name, value)
    return graph.graph.get_attr(name)
