"""Where the channels of a value go, as long as a factor on each of them can be undone in the layers that read them.

The number of its channel is put in the place of every element and follows the operators. What only moves elements is
carried out on these numbers, so that whatever attention heads do to an axis needs no rule of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from ashore_converters.repairs.capture import CONVOLUTIONS, LINEAR, argument, shape

_aten = torch.ops.aten

_MOVES = frozenset(
    {
        _aten.view.default,
        _aten.reshape.default,
        _aten.transpose.int,
        _aten.permute.default,
        _aten.unsqueeze.default,
        _aten.squeeze.dim,
        _aten.expand.default,
        _aten.flatten.using_ints,
        _aten.unflatten.int,
        _aten.slice.Tensor,
        _aten.select.int,
    }
)
_SCALES_ALONG = frozenset(
    {
        _aten.relu.default,
        _aten.relu_.default,
        _aten.leaky_relu.default,
        _aten.leaky_relu_.default,
        _aten.neg.default,
        _aten.dropout.default,
        _aten.contiguous.default,
        _aten.clone.default,
    }
)
"""f(s x) = s f(x) for every positive s, element by element."""

_PRODUCTS = frozenset({_aten.mul.Tensor, _aten.mul_.Tensor})
_POOLS = frozenset({_aten.max_pool2d.default, _aten.avg_pool2d.default, _aten.adaptive_avg_pool2d.default})
_MATMULS = frozenset({_aten.matmul.default, _aten.bmm.default})
_ATTENTION = _aten.scaled_dot_product_attention.default


class NotExactError(Exception):
    """A factor on a channel would not come through, or not alone."""


@dataclass(frozen=True)
class Reader:
    """A layer; ``channels`` [inputs]: the number of the channel that each of its inputs is."""

    node: Node
    channels: Tensor


@dataclass
class Journey:
    """``crossed``: the channels were multiplied by something that is computed, as in attention or behind a gate."""

    readers: list[Reader] = field(default_factory=list)
    crossed: bool = False


def follow(start: Node, axis: int) -> Journey:
    """To the layers that read the channels along ``axis`` of ``start``.

    Raises:
        NotExactError: they also go somewhere else.
    """
    channels = torch.arange(shape(start)[axis])
    rest = len(shape(start)) - 1 - axis % len(shape(start))
    numbers = {start: channels.reshape(-1, *[1] * rest).expand(shape(start))}
    journey, waiting = Journey(), [start]
    while waiting:
        node = waiting.pop()
        for user in node.users:
            if user in numbers or user.all_input_nodes.count(node) != 1 or user.args.count(node) != 1:
                raise NotExactError
            if user.target in LINEAR | CONVOLUTIONS:
                journey.readers.append(_reader(user, node, numbers[node]))
                continue
            numbers[user] = _behind(user, node, numbers[node])
            journey.crossed |= user.target in _MATMULS | {_ATTENTION} or _is_gate(user)
            waiting.append(user)
    return journey


def _reader(layer: Node, source: Node, numbers: Tensor) -> Reader:
    axis = -1 if layer.target in LINEAR else 1
    weight = argument(layer, 1)
    unbatched = isinstance(weight, Node) and layer.target in CONVOLUTIONS and len(shape(weight)) != numbers.dim()
    if layer.args[0] is not source or unbatched:
        raise NotExactError
    rows = numbers.movedim(axis, -1).reshape(-1, numbers.shape[axis])
    _require(bool((rows == rows[0]).all()))
    return Reader(layer, rows[0].clone())


def _behind(node: Node, source: Node, numbers: Tensor) -> Tensor:
    rules: tuple[tuple[object, Callable[[Node, Node, Tensor], Tensor]], ...] = (
        (_MOVES, _moved),
        (_SCALES_ALONG, lambda _node, _source, given: given),
        (_PRODUCTS, lambda node, _source, given: given.expand(shape(node))),
        (_POOLS, _pooled),
        ({_aten.mean.dim}, _averaged),
        (_MATMULS, lambda node, source, given: _mixed(node, source, given, place=1)),
        ({_ATTENTION}, lambda node, source, given: _mixed(node, source, given, place=2)),
    )
    for targets, rule in rules:
        if node.target in targets:  # type: ignore[operator]  # each is a set
            return rule(node, source, numbers)
    raise NotExactError


def _moved(node: Node, source: Node, numbers: Tensor) -> Tensor:
    given = [numbers if each is source else each for each in node.args]
    moved: Tensor = node.target(*given, **node.kwargs)  # type: ignore[operator]  # an operator of torch
    return moved


def _pooled(node: Node, _source: Node, numbers: Tensor) -> Tensor:
    alike = numbers[..., :1, :1]
    _require(bool((numbers == alike).all()))
    return alike.expand(shape(node))


def _averaged(node: Node, _source: Node, numbers: Tensor) -> Tensor:
    axes: Any = argument(node, 1)
    kept = bool(argument(node, 2))
    lowest = numbers.amin(axes, keepdim=kept)
    _require(torch.equal(lowest, numbers.amax(axes, keepdim=kept)))
    return lowest


def _mixed(node: Node, source: Node, numbers: Tensor, place: int) -> Tensor:
    """Sums over the last axis but one, with weights that are computed without these channels."""
    _require(node.args[place] is source and numbers.dim() > 1)
    alike = numbers[..., :1, :]
    _require(bool((numbers == alike).all()))
    return alike.expand(shape(node))


def _is_gate(node: Node) -> bool:
    return node.target in _PRODUCTS and len(node.all_input_nodes) > 1


def _require(exact: bool) -> None:
    if not exact:
        raise NotExactError
