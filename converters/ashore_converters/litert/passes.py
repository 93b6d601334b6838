"""Small rewrites of an exported graph that let more of the file run in the delegate."""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

_PICTURE_RANK = 4
_aten = torch.ops.aten


def rewrite(program: ExportedProgram) -> None:
    """Apply every rewrite to ``program``, in place; its outputs stay the same."""
    for node in list(program.graph.nodes):
        if node.op == "call_function":
            _pad_with_zeros(node)
            _keep_picture_while_pooling(node)
    program.graph.lint()
    program.graph_module.recompile()


def _pad_with_zeros(node: Node) -> None:
    """A padded max pool of values that are never negative: pad with zeros.

    litert_torch pads with minus infinity, an operator that the delegate does not take and whose range no int8 scale
    can hold.
    """
    if node.target is not _aten.max_pool2d.default or not _is_never_negative(node.args[0]):
        return
    given: list[Any] = [*node.args, *_POOL_DEFAULTS[len(node.args) :]]
    pixels, kernel, stride, padding, dilation, ceil = given
    if ceil or not any(_pair(padding)):
        return
    rows, columns = _pair(padding)
    with node.graph.inserting_before(node):
        padded = _call(node, _aten.constant_pad_nd.default, pixels, [columns, columns, rows, rows], 0.0)
    node.args = (padded, kernel, stride or kernel, [0, 0], dilation)


_POOL_DEFAULTS: tuple[Any, ...] = (None, None, [], [0, 0], [1, 1], False)


def _is_never_negative(value: Any) -> bool:
    if not isinstance(value, Node):
        return False
    if value.target in _NOT_NEGATIVE:
        return True
    if value.target in (_aten.hardtanh.default, _aten.hardtanh_.default, _aten.clamp.default):
        return len(value.args) > 1 and isinstance(value.args[1], int | float) and value.args[1] >= 0
    return value.target in _KEEP_SIGN and _is_never_negative(value.args[0])


_NOT_NEGATIVE = {
    _aten.relu.default,
    _aten.relu_.default,
    _aten.relu6.default,
    _aten.sigmoid.default,
    _aten.hardsigmoid.default,
    _aten.softmax.int,
}
_KEEP_SIGN = {_aten.max_pool2d.default, _aten.avg_pool2d.default, _aten.dropout.default}


def _keep_picture_while_pooling(node: Node) -> None:
    """A mean over height and width: take it without dropping the axes, and drop them after.

    Otherwise the picture is transposed back to channels-first only to be averaged away.
    """
    if node.target is not _aten.mean.dim or (len(node.args) > 2 and node.args[2]) or node.kwargs.get("keepdim"):
        return
    value, axes = node.args[0], node.args[1]
    if not isinstance(value, Node) or not isinstance(axes, list | tuple) or _rank(value) != _PICTURE_RANK:
        return
    if sorted(int(str(axis)) % _PICTURE_RANK for axis in axes) != [2, 3]:
        return
    with node.graph.inserting_before(node):
        pooled = _call(node, _aten.mean.dim, value, [2, 3], True, **node.kwargs)
        flat = _call(node, _aten.squeeze.dims, pooled, [2, 3])
    node.replace_all_uses_with(flat)
    node.graph.erase_node(node)


def _call(place: Node, target: Any, *args: Any, **kwargs: Any) -> Node:
    """A new node that counts as part of the module of ``place``, with the value that decompositions ask for."""
    node = place.graph.call_function(target, args, kwargs)
    node.meta = {key: value for key, value in place.meta.items() if key not in ("val", "tensor_meta")}
    node.meta["val"] = target(*torch.fx.node.map_arg(args, _value), **kwargs)
    return node


def _value(node: Node) -> Any:
    return node.meta["val"]


def _rank(node: Node) -> int:
    return int(node.meta["val"].dim())


def _pair(sizes: Any) -> tuple[int, int]:
    rows, columns = (sizes, sizes) if isinstance(sizes, int) else (sizes[0], sizes[-1])
    return int(rows), int(columns)
