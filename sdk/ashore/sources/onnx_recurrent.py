"""LSTM and GRU of ONNX as layers of PyTorch, which backends make loops of; the importer unrolls them.

Equations and the order of gates are those of the operators' definitions (onnx.ai/onnx/operators, LSTM and GRU). A GRU
that resets before its product (``linear_before_reset=0``, the default) is a layer of ashore's. What no layer can say
stays with the importer: peepholes, clipping, other activations, and sequences of different lengths.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from ashore.sources.onnx_nodes import attributes, has_input, optional
from ashore.sources.reset_first import GRU_RESET_FIRST, ResetFirstGRU

_GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2)}
"""ONNX's gate in each place of PyTorch's: from i, o, f, c to i, f, c, o, and from z, r, h to r, z, h."""
_LAYERS: dict[Any, type[torch.nn.LSTM | torch.nn.GRU]] = {
    torch.ops.aten.lstm.input: torch.nn.LSTM,
    torch.ops.aten.gru.input: torch.nn.GRU,
    GRU_RESET_FIRST: ResetFirstGRU,
}
_UNSAID = ("clip", "activation_alpha", "activation_beta", "input_forget", "layout")
_LENGTHS, _PEEPHOLES = 4, 7


def whole(builder: Any, node: Any) -> Node | None:
    """The layer as one operator of PyTorch; None where that cannot say what it does."""
    lengths = _lengths(builder, node)
    if not _expressible(node) or lengths is None or len(set(lengths)) > 1:
        return None
    x, w, r, b, h, c = (optional(builder, node, place) for place in (0, 1, 2, 3, 5, 6))
    starts = (h, c) if node.op_type == "LSTM" else (h,)
    backward = attributes(node).get("direction") == b"reverse"
    length = lengths[0] if lengths else None
    args = (_operator(node), x, (w, r, b), starts, backward, length, len(node.output) > 1)
    made: Node = builder.call_function(_run, args=args)
    return made


def _operator(node: Any) -> Any:
    if node.op_type == "LSTM":
        return torch.ops.aten.lstm.input
    return torch.ops.aten.gru.input if attributes(node).get("linear_before_reset") else GRU_RESET_FIRST


def _expressible(node: Any) -> bool:
    given = attributes(node)
    usual = [b"sigmoid", b"tanh", b"tanh"][: 3 if node.op_type == "LSTM" else 2]
    named = [word.lower() for word in given.get("activations", ())]
    said = not named or named == usual * (len(named) // len(usual))
    return said and not has_input(node, _PEEPHOLES) and not any(given.get(name) for name in _UNSAID)


def _lengths(builder: Any, node: Any) -> list[int] | None:
    """Of each sequence of the batch: empty where all are full, None where they are not stored."""
    if not has_input(node, _LENGTHS):
        return []
    stored = builder.initializer_map.get(node.input[_LENGTHS])
    return None if stored is None else stored.tolist()


def _run(
    run: Any,
    x: Tensor,
    weights: tuple[Tensor, Tensor, Tensor | None],
    starts: tuple[Tensor | None, ...],
    backward: bool,
    length: int | None,
    several: bool,
) -> Any:
    """ONNX's results by the operator ``run``, all of them if ``several``, else the first.

    ``x`` is [steps, batch, inputs], the results [steps, directions, batch, hidden] and [directions, batch, hidden].
    """
    steps, batch = x.shape[0], x.shape[1]
    directions, _, hidden = weights[1].shape
    x = x if length is None else x[:length]
    states = [x.new_zeros(directions, batch, hidden) if start is None else start for start in starts]
    kind = "LSTM" if run is torch.ops.aten.lstm.input else "GRU"
    parameters = [part for index in range(directions) for part in _parameters(kind, weights, index)]
    options = (parameters, weights[2] is not None, 1, 0.0, False, directions == 2, False)
    y, *ends = run(x.flip(0) if backward else x, states if kind == "LSTM" else states[0], *options)
    y = (y.flip(0) if backward else y).reshape(-1, batch, directions, hidden).transpose(1, 2)
    y = torch.nn.functional.pad(y, (0, 0) * 3 + (0, steps - y.shape[0])) if y.shape[0] < steps else y
    return (y, *ends) if several else y


def _parameters(kind: str, weights: tuple[Tensor, Tensor, Tensor | None], index: int) -> list[Tensor]:
    """Of one direction, in PyTorch's order: for the input, for the state, and both biases where there are any."""
    w, r, b = weights
    parts = [w[index], r[index]]
    if b is not None:
        half = b.shape[1] // 2
        parts += [b[index][:half], b[index][half:]]
    size = r.shape[-1]
    return [torch.cat([part[gate * size : (gate + 1) * size] for gate in _GATES[kind]]) for part in parts]


def recurrent_weights(graph: Graph) -> set[Node]:
    """All that the weights of recurrent layers are computed from, as recorded."""
    found: set[Node] = set()
    left = [weight for node in graph.nodes if node.target in _LAYERS for weight in node.args[2]]
    while left:
        node = left.pop()
        if node not in found:
            found.add(node)
            left += node.all_input_nodes
    return found


def put_layers(module: GraphModule) -> None:
    """In place: the operators that :func:`whole` left become calls of layers of PyTorch, where weights are stored."""
    for node in list(module.graph.nodes):
        if node.target in _LAYERS and all(weight.op == "get_attr" for weight in node.args[2]):
            module.add_submodule(node.name, _built(module, node))
            _call_layer(module, node)
    module.graph.eliminate_dead_code()
    module.recompile()


def _built(module: GraphModule, node: Node) -> torch.nn.RNNBase:
    weights: Any = node.args[2]
    values = [getattr(module, str(weight.target)) for weight in weights]
    hidden, inputs = values[1].shape[1], values[0].shape[1]
    layer = _LAYERS[node.target](inputs, hidden, bias=bool(node.args[3]), bidirectional=bool(node.args[7]))
    for name, value in zip(layer._flat_weights_names, values, strict=True):
        setattr(layer, name, torch.nn.Parameter(value.detach().clone()))
    return layer.requires_grad_(False)


def _call_layer(module: GraphModule, node: Node) -> None:
    graph, lstm = module.graph, node.target is torch.ops.aten.lstm.input
    state: Any = node.args[1]
    if all(_is_zero(module, each) for each in (state if lstm else [state])):
        state = None
    with graph.inserting_before(node):
        call = graph.call_module(node.name, (node.args[0], tuple(state) if lstm and state else state))
        y, ends = (graph.call_function(operator.getitem, (call, index)) for index in range(2))
        results = (
            [y, *(graph.call_function(operator.getitem, (ends, index)) for index in range(2))] if lstm else [y, ends]
        )
    for user in list(node.users):
        user.replace_all_uses_with(results[user.args[1]])  # type: ignore[index]  # of getitem
        graph.erase_node(user)
    graph.erase_node(node)


def _is_zero(module: GraphModule, node: Node) -> bool:
    if node.op == "get_attr":
        return not getattr(module, str(node.target)).any()
    return "zeros" in str(node.target)
