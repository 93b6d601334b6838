"""What a model offers to repair: pairs that one factor a channel passes between, and layers whose outputs can shift."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Node

from ashore_converters.repairs.capture import CONVOLUTIONS, LINEAR, Capture, argument, capture, shape
from ashore_converters.repairs.channels import Journey, NotExactError, Reader, follow

_aten = torch.ops.aten
_LAYERS = LINEAR | CONVOLUTIONS
_NORMS = frozenset({_aten.layer_norm.default, _aten.rms_norm.default})
_BATCH_NORM = _aten.batch_norm.default


@dataclass(frozen=True)
class ReadWeight:
    """The weight of a layer that reads the channels: along ``axis`` it has one entry for each of ``channels``."""

    name: str
    axis: int
    channels: Tensor


@dataclass(frozen=True)
class Pair:
    """Divide ``divided`` by a factor for each channel, multiply ``readers`` by it, and the model stays the same.

    Attributes:
        divided: parameters with one entry for each channel along their first axis.
        weight: of the layer that makes the channels; None where a norm makes them.
        batch_norm: weight and variance of the norm between that layer and the channels.
        attended: the channels come from a norm, or pass attention or a gate, on their way to linear layers.
    """

    divided: tuple[str, ...]
    readers: tuple[ReadWeight, ...]
    weight: str | None = None
    batch_norm: tuple[str, str] | None = None
    attended: bool = False

    @property
    def is_biased_norm(self) -> bool:
        return self.weight is None and len(self.divided) > 1


@dataclass(frozen=True)
class Shift:
    """What moves the outputs of the layer ``weight``: its bias, or where it has none the mean of its batch norm."""

    weight: str
    tensor: str
    sign: int


@dataclass(frozen=True)
class Structure:
    pairs: tuple[Pair, ...]
    shifts: tuple[Shift, ...]


def structure(module: torch.nn.Module, example: tuple[Tensor, ...]) -> Structure:
    captured = capture(module, example)
    nodes = [node for node in captured.graph.nodes if node.op == "call_function"]
    pairs = [pair for node in nodes for pair in _pairs(node, captured)]
    return Structure(tuple(pairs), tuple(shift for node in nodes for shift in _shifts(node, captured)))


def _pairs(node: Node, captured: Capture) -> Iterator[Pair]:
    makers: dict[object, Callable[[Node, Capture], Pair | None]] = {
        _BATCH_NORM: _from_batch_norm,
        **dict.fromkeys(_NORMS, _from_norm),
        **dict.fromkeys(_LAYERS, _from_layer),
    }
    make = makers.get(node.target, _from_written_norm)
    try:
        found = make(node, captured)
    except NotExactError:
        return
    if found is not None:
        yield found


def _from_norm(node: Node, captured: Capture) -> Pair | None:
    single = len(node.args[1]) == 1  # type: ignore[arg-type]  # the normalized shape
    bias = argument(node, 3) if node.target is _aten.layer_norm.default else None
    return _of_norm(node, argument(node, 2), bias, captured) if single else None


def _from_written_norm(node: Node, captured: Capture) -> Pair | None:
    """A norm in operators of its own ends with a product with its weight, and perhaps a sum with its bias."""
    if node.target is not _aten.mul.Tensor:
        return None
    weights = _by_channel(node, captured)
    if len(weights) != 1:
        return None
    (user,) = node.users if len(node.users) == 1 else (node,)
    if user.target is not _aten.add.Tensor:
        return _of_norm(node, weights[0], None, captured)
    biases = _by_channel(user, captured)
    return _of_norm(user, weights[0], biases[0], captured) if len(biases) == 1 else None


def _by_channel(node: Node, captured: Capture) -> list[Node]:
    """Those of its operands that hold one number for each entry of the last axis."""
    named = [each for each in node.all_input_nodes if captured.name(each)]
    return [each for each in named if shape(each) == shape(node)[-1:]]


def _of_norm(end: Node, weight: object, bias: object, captured: Capture) -> Pair | None:
    divided = _names((weight, bias), captured)
    if divided is None or weight is None:
        return None
    journey = follow(end, -1)
    linear = all(reader.node.target in LINEAR for reader in journey.readers)
    return _pair(divided, journey, captured, attended=True) if linear else None


def _from_layer(node: Node, captured: Capture) -> Pair | None:
    divided = _names((argument(node, 1), argument(node, 2)), captured)
    if divided is None or not _batched(node):
        return None
    journey = follow(node, -1 if node.target in LINEAR else 1)
    return _pair(divided, journey, captured, weight=divided[0], attended=journey.crossed)


def _from_batch_norm(node: Node, captured: Capture) -> Pair | None:
    maker, variance = node.args[0], captured.name(argument(node, 4))
    divided = _names((argument(node, 1), argument(node, 2)), captured)
    if not isinstance(maker, Node) or maker.target not in _LAYERS or not divided or len(divided) < 2 or not variance:
        return None
    weight = captured.name(argument(maker, 1))
    pair = _pair(divided, follow(node, 1), captured, weight=weight) if weight and _batched(maker) else None
    return pair and Pair(pair.divided, pair.readers, weight, (divided[0], variance))


def _pair(
    divided: tuple[str, ...], journey: Journey, captured: Capture, weight: str | None = None, attended: bool = False
) -> Pair | None:
    readers = [_read_weight(reader, captured) for reader in journey.readers]
    known = tuple(reader for reader in readers if reader is not None)
    complete = known and len(known) == len(readers)
    return Pair(divided, known, weight, attended=attended) if complete else None


def _read_weight(reader: Reader, captured: Capture) -> ReadWeight | None:
    name, groups = captured.name(argument(reader.node, 1)), argument(reader.node, 6) or 1
    if name is None or groups == 1:
        return (name and ReadWeight(name, 1, reader.channels)) or None
    outputs = shape(reader.node.args[1])[0]  # type: ignore[arg-type]  # the weight's node
    inputs = len(reader.channels)
    return ReadWeight(name, 0, reader.channels.repeat_interleave(outputs // inputs)) if groups == inputs else None


def _shifts(node: Node, captured: Capture) -> Iterator[Shift]:
    weight = captured.name(argument(node, 1)) if node.target in _LAYERS else None
    bias = argument(node, 2)
    if weight is None:
        return
    if bias is not None and (name := captured.name(bias)):
        yield Shift(weight, name, -1)
    elif bias is None and [user.target for user in node.users] == [_BATCH_NORM]:
        (norm,) = node.users
        if mean := captured.name(argument(norm, 3)):
            yield Shift(weight, mean, 1)


def _names(nodes: tuple[object, ...], captured: Capture) -> tuple[str, ...] | None:
    """Of those that are there; None where one of them has no name of its own."""
    names = [captured.name(node) for node in nodes if node is not None]
    return tuple(name for name in names if name) if all(names) and names else None


def _batched(node: Node) -> bool:
    """A convolution also takes a picture without a batch, whose channels lie elsewhere."""
    return node.target in LINEAR or len(shape(node)) == len(shape(node.args[1]))  # type: ignore[arg-type]  # the weight's node
