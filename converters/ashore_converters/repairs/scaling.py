"""Factors that pass between two layers, so that neither a weight's columns nor an activation's channels stand out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from ashore_converters.calls import Call, LayerCalls
from ashore_converters.repairs.capture import held
from ashore_converters.repairs.simulate import Inputs
from ashore_converters.repairs.structure import Pair, ReadWeight

_STRENGTH = 0.5
"""How much of the spread moves from the activations into the weights; the paper's alpha."""

_ROUNDS = 3
"""A layer between two others belongs to two pairs, and each changes what the other was balanced on."""

Magnitudes = Mapping[str, Tensor]
"""The largest magnitude [inputs] that was seen at each input of the layer with the weight of this name."""


def smoothquant(model: torch.nn.Module, pairs: Sequence[Pair], samples: Iterable[Inputs]) -> int:
    """SmoothQuant: Xiao et al. 2022, arXiv:2211.10438. In place; returns how many pairs it was carried out on.

    Of the linear layers that read a norm, as in the paper, and of those that read another one through attention or a
    gate. Channels with outliers are divided, and the columns that read them multiplied.
    """
    suited = [pair for pair in pairs if pair.attended]
    seen = _magnitudes(model, {reader.name for pair in suited for reader in pair.readers}, samples) if suited else {}
    for pair in suited:
        inputs = _by_channel(pair, model, lambda reader: seen[reader.name])
        weights = _by_channel(pair, model, lambda reader: _columns(model, reader))
        _pass_between(pair, model, _ratio(inputs**_STRENGTH, weights ** (1 - _STRENGTH)))
    return len(suited)


def equalization(model: torch.nn.Module, pairs: Sequence[Pair]) -> int:
    """Cross-layer equalization: Nagel et al. 2019, arXiv:1906.04721. In place; returns the number of pairs.

    Of layers with nothing between them but a batch norm and what scales along, such as ReLU: the rows of one weight
    and the columns of the next get the same range.
    """
    suited = [pair for pair in pairs if not pair.attended]
    for _ in range(_ROUNDS):
        for pair in suited:
            columns = _by_channel(pair, model, lambda reader: _columns(model, reader))
            _pass_between(pair, model, _ratio(_rows(pair, model).sqrt(), columns.sqrt()))
    return len(suited)


def fold_norms(model: torch.nn.Module, pairs: Sequence[Pair]) -> list[Pair]:
    """In place: weights of norms with a bias go into the layers that read them. The pairs that are left to repair.

    For a backend that does so by itself: a factor between such a norm and its readers is then lost on it.
    """
    folded = [pair for pair in pairs if pair.is_biased_norm]
    for pair in folded:
        weight = held(model, pair.divided[0]).clone()
        _pass_between(pair, model, torch.where(weight == 0, 1.0, weight))
    return [pair for pair in pairs if not pair.is_biased_norm]


def _by_channel(pair: Pair, model: torch.nn.Module, of: Callable[[ReadWeight], Tensor]) -> Tensor:
    """The largest over all that reads a channel, [channels]."""
    found = torch.zeros(len(held(model, pair.divided[0])))
    for reader in pair.readers:
        found.scatter_reduce_(0, reader.channels, of(reader), "amax")
    return found


def _columns(model: torch.nn.Module, reader: ReadWeight) -> Tensor:
    return held(model, reader.name).movedim(reader.axis, 0).flatten(1).abs().amax(1).float()


def _rows(pair: Pair, model: torch.nn.Module) -> Tensor:
    """Of the weight, as a batch norm behind it scales them."""
    assert pair.weight is not None  # a norm's channels are attended
    rows = held(model, pair.weight).flatten(1).abs().amax(1).float()
    if pair.batch_norm is None:
        return rows
    weight, variance = pair.batch_norm
    return rows * held(model, weight).abs() / (held(model, variance) + 1e-5).sqrt()


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """1 for channels that are always zero, or that nobody reads."""
    return torch.where((above > 0) & (below > 0), above / below, 1.0)


def _pass_between(pair: Pair, model: torch.nn.Module, factors: Tensor) -> None:
    with torch.no_grad():
        for name in pair.divided:
            divided = held(model, name)
            divided.div_(factors.reshape(-1, *[1] * (divided.dim() - 1)))
        for reader in pair.readers:
            weight = held(model, reader.name)
            weight.movedim(reader.axis, -1).mul_(factors[reader.channels])


def _magnitudes(model: torch.nn.Module, names: set[str], samples: Iterable[Inputs]) -> Magnitudes:
    watch = _Watch({id(held(model, name)): name for name in names})
    for inputs in samples:
        with torch.no_grad(), watch:
            model(*inputs)
    return {name: watch.seen.get(name, torch.zeros(())) for name in names}


class _Watch(LayerCalls):
    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self._names = names
        self.seen: dict[str, Tensor] = {}

    def called(self, call: Call) -> Tensor:
        if (name := self._names.get(call.key)) is not None:
            largest = call.inputs.abs().flatten(0, -2).amax(0).float()
            self.seen[name] = torch.maximum(self.seen[name], largest) if name in self.seen else largest
        return call.outputs
