"""Small changes to a captured graph that keep its meaning and let more of it run in one delegate."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

_aten = torch.ops.aten
_ONE_DIMENSIONAL = {_aten.conv1d.default, _aten.conv1d.padding, _aten.conv_transpose1d.default}


def rewrite_for_xnnpack(program: ExportedProgram) -> ExportedProgram:
    """In place. Global averages keep their dimensions while they are taken; old tracing records are dropped."""
    for node in list(program.graph.nodes):
        node.meta.pop("from_node", None)  # grows with every pass and is deep-copied for every node
        if _is_global_average(node):
            _keep_dimensions(program, node)
    program.graph_module.recompile()
    return program


def fence_float_convolutions(graph: GraphModule) -> None:
    """In place, in a quantized graph. executorch takes a one-dimensional float convolution beside int8 tensors for an
    int8 one and gives up; a maximum of a tensor with itself on both sides keeps them apart at the price of a copy."""
    for node in list(graph.graph.nodes):
        if node.op == "call_function" and node.target in _ONE_DIMENSIONAL and _is_constant(node.args[1]):
            source = node.args[0]
            with graph.graph.inserting_before(node):
                node.replace_input_with(source, graph.graph.call_function(_aten.maximum.default, (source, source)))
            with graph.graph.inserting_after(node):
                fence = graph.graph.call_function(_aten.maximum.default, (node, node))
            node.replace_all_uses_with(fence, delete_user_cb=lambda user, fence=fence: user is not fence)
    graph.recompile()


def dequantize_for_each(graph: GraphModule) -> None:
    """In place, in a quantized graph. Where float operators share a dequantize operator, executorch's change of memory
    layouts loses sight of what its delegate gives back, and gives up."""
    for node in list(graph.graph.nodes):
        if node.target is torch.ops.quantized_decomposed.dequantize_per_tensor.default:
            for user in list(node.users)[1:]:
                with graph.graph.inserting_before(user):
                    user.replace_input_with(node, graph.graph.node_copy(node))
    graph.recompile()


def _is_constant(node: object) -> bool:
    return isinstance(node, Node) and node.op == "get_attr"


def _is_global_average(node: Node) -> bool:
    """XNNPACK averages over both picture axes at once, and only into a picture of one pixel."""
    if node.op != "call_function" or node.target is not _aten.mean.dim or len(node.args) < 2:
        return False
    source = node.args[0]
    rank = source.meta["val"].dim() if isinstance(source, Node) else 0
    axes = node.args[1]
    keeps = len(node.args) > 2 and bool(node.args[2])
    if rank != 4 or keeps or not isinstance(axes, list | tuple):
        return False
    return {axis % 4 for axis in axes if isinstance(axis, int)} == {2, 3}


def _keep_dimensions(program: ExportedProgram, node: Node) -> None:
    source, axes = node.args[0], node.args[1]
    with program.graph.inserting_before(node), _fake_mode(node):
        kept = program.graph.call_function(_aten.mean.dim, (source, axes, True), dict(node.kwargs))
        kept.meta = {**node.meta, "val": node.meta["val"].unsqueeze(-1).unsqueeze(-1)}
        flat = program.graph.call_function(_aten.flatten.using_ints, (kept, 1))
        flat.meta = dict(node.meta)
    node.replace_all_uses_with(flat)
    program.graph.erase_node(node)
    _rename_outputs(program, node.name, flat.name)


def _fake_mode(node: Node) -> torch._subclasses.FakeTensorMode:
    mode: torch._subclasses.FakeTensorMode = node.meta["val"].fake_mode
    return mode


def _rename_outputs(program: ExportedProgram, old: str, new: str) -> None:
    for spec in program.graph_signature.output_specs:
        if spec.arg.name == old:
            spec.arg.name = new
