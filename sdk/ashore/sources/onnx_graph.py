"""From an ONNX graph to a PyTorch module of plain aten operators, with the names of the file."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch.fx import Graph, GraphModule, Node

from ashore.errors import AshoreError, UnsupportedModel
from ashore.sources.onnx_operators import register_operators
from ashore.sources.onnx_recurrent import put_layers, recurrent_weights
from ashore.sources.onnx_sizes import memory_refusals_told
from ashore.types.tensor import Array

_SMALL = 1024
"""Constants up to this size may grow when they are computed beforehand; larger ones are only reshaped."""
_LAYERS = ("aten.conv", "aten.linear")


def import_graph(model: Any, example: list[Array], names: list[str]) -> GraphModule:
    """The model for inputs of the sizes of ``example``, called ``names``.

    It is run once and recorded: what the file computes from shapes becomes plain numbers, which exporters need.

    Raises:
        UnsupportedModel: the importer fails, or the model needs to look at data to know a shape.
        UsageError: it asks for more memory than there is.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    outputs = [value.name for value in model.graph.output]
    tensors = [torch.from_numpy(np.array(array)) for array in example]
    try:
        with torch.no_grad(), warnings.catch_warnings(), memory_refusals_told():
            warnings.simplefilter("ignore")  # the importer's and torch's, of their own deprecations
            recorded = make_fx(_imported(model), pre_dispatch=True)(*tensors)
            _fold_constants(recorded)
            put_layers(recorded)
    except AshoreError:
        raise
    except Exception as error:  # the importer has no error of its own for what it does not expect
        raise UnsupportedModel(
            f"the ONNX model could not be imported: {type(error).__name__}: {error}",
            "check the example inputs, give others with --inputs or --shape, or convert the model from PyTorch",
        ) from error
    _dequantize_for_each(recorded.graph)
    _name_ends(recorded.graph, names, outputs)
    return _with_own_weights(recorded)


def _imported(model: Any) -> torch.nn.Module:
    import onnx2fx

    own = type(model)()
    own.CopyFrom(model)
    _constants_to_weights(own.graph)
    _rename(own.graph)
    register_operators()
    imported: torch.nn.Module = onnx2fx.convert(own).eval()
    return imported


def _constants_to_weights(graph: Any) -> None:
    """So that constants are found in one place, and scales among them."""
    kept = []
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            weight = graph.initializer.add()
            weight.CopyFrom(node.attribute[0].t)
            weight.name = node.output[0]
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


def _rename(graph: Any) -> None:
    """Short names for weights and inputs: the importer takes ``a.b`` and ``a/b`` for one."""
    returned = {value.name for value in graph.output}
    named = [each for each in (*graph.initializer, *graph.input) if each.name not in returned]
    short = {name: f"value_{index}" for index, name in enumerate(dict.fromkeys(each.name for each in named))}
    for each in named:
        each.name = short[each.name]
    for node in graph.node:
        node.input[:] = [short.get(name, name) for name in node.input]


def _fold_constants(module: GraphModule) -> None:
    """Compute once what depends on weights alone, such as their transposes, and drop what came of shapes.

    A weight's own grid stays: a backend has to see that it is quantized. Not that of a recurrent layer, which no
    backend reads: a loop's weights are float until ashore rounds them.
    """
    _drop_idle(module.graph)
    module.graph.eliminate_dead_code()
    recurrent = recurrent_weights(module.graph)
    for node in module.graph.nodes:
        if _can_be_folded(node, node in recurrent):
            value = node.target(*(_value(module, arg) for arg in node.args), **node.kwargs)
            if isinstance(value, torch.Tensor) and value.numel() <= max(_SMALL, _numel_above(module, node)):
                _replace(module, node, value.contiguous())
    module.graph.eliminate_dead_code()
    module.recompile()


def _drop_idle(graph: Graph) -> None:
    """What changes nothing: casts to the type that a value has, which would pin it there in a model that is halved as
    a whole, and detaching in place, behind which nothing could be folded."""
    for node in graph.nodes:
        idle_cast = node.target is torch.ops.aten.to.dtype and _dtype(node) is _dtype(node.args[0])
        if idle_cast or node.target is torch.ops.aten.detach_.default:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)


def _dtype(node: Node) -> torch.dtype | None:
    """As recorded; None for a stored tensor."""
    meta = node.meta.get("tensor_meta")
    return None if meta is None else meta.dtype


def _can_be_folded(node: Node, grid_too: bool) -> bool:
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    if node.target.namespace == "quantized_decomposed" and not grid_too:
        return False
    changes = node.target._schema.is_mutable or torch.Tag.nondeterministic_seeded in node.target.tags
    nested = any(isinstance(value, Node) for value in node.kwargs.values())
    return not changes and not nested and all(each.op == "get_attr" for each in node.all_input_nodes)


def _value(module: GraphModule, arg: Any) -> Any:
    if isinstance(arg, list | tuple):
        return [_value(module, each) for each in arg]
    return getattr(module, str(arg.target)) if isinstance(arg, Node) else arg


def _numel_above(module: GraphModule, node: Node) -> int:
    return sum(_value(module, each).numel() for each in node.all_input_nodes)


def _replace(module: GraphModule, node: Node, value: torch.Tensor) -> None:
    name = f"folded_{node.name}"
    module.register_buffer(name, value)
    with module.graph.inserting_before(node):
        node.replace_all_uses_with(module.graph.get_attr(name))
    module.graph.erase_node(node)


def _dequantize_for_each(graph: Graph) -> None:
    """As PT2E writes it: backends look for a layer with its own dequantize operators, and fuse none that is shared."""
    for node in list(graph.nodes):
        if str(node.target).startswith("quantized_decomposed.dequantize"):
            for user in list(node.users)[1:]:
                with graph.inserting_before(user):
                    user.replace_input_with(node, graph.node_copy(node))


def _name_ends(graph: Graph, inputs: list[str], outputs: list[str]) -> None:
    for node, name in zip(graph.find_nodes(op="placeholder"), inputs, strict=True):
        node.target = name
    result = graph.output_node().args[0]
    values = list(result) if isinstance(result, list | tuple) else [result]
    graph.output_node().args = (dict(zip(outputs, values, strict=True)),)


def _with_own_weights(module: GraphModule) -> GraphModule:
    """A module of the graph alone, every layer's weights in a submodule of their own, as recipes name layers.

    Float weights become parameters, by which models are measured.
    """
    places = _places(module.graph)
    calls = module.graph.find_nodes(op="call_module")
    held: dict[str, Any] = {str(call.target): module.get_submodule(str(call.target)) for call in calls}
    names: dict[str, str] = {}
    for node in module.graph.find_nodes(op="get_attr"):
        target = str(node.target)
        if target not in names:
            names[target] = places.get(target, f"constant_{len(names)}")
            value = getattr(module, target).detach()
            weight = value.is_floating_point() and value.dim() > 0
            held[names[target]] = torch.nn.Parameter(value, requires_grad=False) if weight else value
        node.target = names[target]
    return GraphModule(held, module.graph, "OnnxModel").eval()


def _places(graph: Graph) -> dict[str, str]:
    """Stored tensor -> ``conv2d_1.weight``, where the operator of that name takes it as its weight or bias."""
    found: dict[str, str] = {}
    for node in graph.nodes:
        if node.op == "call_function" and str(node.target).startswith(_LAYERS):
            for role, arg in zip(("weight", "bias"), node.args[1:3], strict=False):
                stored = _stored_below(arg)
                if stored is not None:
                    found.setdefault(str(stored.target), f"{node.name}.{role}")
    return found


def _stored_below(value: Any) -> Node | None:
    """A stored tensor, through the operator that dequantizes it."""
    while isinstance(value, Node) and str(value.target).startswith("quantized_decomposed"):
        value = value.args[0]
    return value if isinstance(value, Node) and value.op == "get_attr" else None
