"""LSTM and GRU as loops over time.

torch.export unrolls them: some twenty operators a step, and a delegate for each. Here the inputs of all steps are
multiplied at once, in a linear layer, and what is left of a step is one delegate that a loop of the file
(torch's ``scan``) calls, however long the sequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore_converters.bake import recurrent_layers, user_path
from ashore_converters.executorch_recurrent_step import GRUStep, LSTMStep, Step

_KINDS: dict[type[nn.RNNBase], type[Step]] = {nn.LSTM: LSTMStep, nn.GRU: GRUStep}
_steps: dict[int, Step] = {}
_keys = count()


def loopable(layer: nn.Module) -> bool:
    """Plain LSTM and GRU layers; not ``nn.RNN``, not LSTM with projections, not subclasses."""
    return type(layer) in _KINDS and isinstance(layer, nn.RNNBase) and not layer.proj_size


def loops(request: ConversionRequest) -> bool:
    """Whether the file can hold loops: a step's delegate has fixed sizes, and computes in fp32 or int8."""
    return request.recipe.precision is not Precision.FP16 and not any(spec.dynamic for spec in request.inputs)


def recurrent_paths(request: ConversionRequest, looped: bool) -> list[str]:
    """Recurrent layers that become loops, or those whose every step becomes operators of its own."""
    layers = recurrent_layers(request.model).items()
    return [path for path, layer in layers if (loopable(layer) and loops(request)) is looped]


def loop_recurrent(module: nn.Module) -> list[int]:
    """In place: every LSTM and GRU becomes a loop. Returns the keys of its steps, for ``forget``."""
    made: list[int] = []
    for path, layer in list(module.named_modules()):
        if path and isinstance(layer, nn.RNNBase) and loopable(layer):
            made.extend(_become_loop(layer, user_path(path)))
    return made


def step_of(key: int) -> Step:
    return _steps[key]


def forget(keys: list[int]) -> None:
    for key in keys:
        _steps.pop(key, None)


def _become_loop(layer: nn.RNNBase, path: str) -> list[int]:
    """The module stays what it was to the code around it, which may read ``hidden_size`` or ask for its class."""
    suffixes = list(_suffixes(layer))
    steps = [_KINDS[type(layer)](layer, suffix, path) for suffix in suffixes]
    projections = nn.ModuleList(step.projection(layer, suffix) for step, suffix in zip(steps, suffixes, strict=True))
    keys = [next(_keys) for _ in steps]
    _steps.update(zip(keys, steps, strict=True))
    layer.__class__ = _LOOPED[type(layer)]
    layer._flat_weights_names = []
    layer._parameters.clear()
    layer.projections, layer.keys = projections, keys
    return keys


class _Loop(nn.RNNBase):
    """What the layer it is made of computes, with the same arguments and results."""

    projections: nn.ModuleList
    keys: list[int]

    @property
    def lstm(self) -> bool:
        return isinstance(self, nn.LSTM)

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        batched = x.dim() == 3
        x = x if batched else x.unsqueeze(0 if self.batch_first else 1)
        x = x.transpose(0, 1) if self.batch_first else x
        starts = self._starts(x, state, batched)
        last: list[list[Tensor]] = []
        for first in range(0, len(self.keys), self.directions):
            made = [self._direction(index, x, starts) for index in range(first, first + self.directions)]
            x = torch.cat([ys for ys, _ in made], -1) if len(made) > 1 else made[0][0]
            last.extend(ends for _, ends in made)
        x = x.transpose(0, 1) if self.batch_first else x
        ends = tuple(torch.stack(part) for part in zip(*last, strict=True))
        if not batched:
            x, ends = x.squeeze(0 if self.batch_first else 1), tuple(end.squeeze(1) for end in ends)
        return x, ends if self.lstm else ends[0]

    def _starts(self, x: Tensor, state: Any, batched: bool) -> tuple[Tensor, ...]:
        if state is None:
            shape = (len(self.keys), x.shape[1], self.hidden_size)  # scan takes no two views of one tensor
            return tuple(x.new_zeros(shape) for _ in range(2 if self.lstm else 1))
        parts = tuple(state) if self.lstm else (state,)
        return parts if batched else tuple(part.unsqueeze(1) for part in parts)

    def _direction(self, index: int, x: Tensor, starts: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor]]:
        backward = self.directions == 2 and index % 2
        gates = self.projections[index](x.flip(0) if backward else x)
        ends, ys = _scan(self.keys[index], [start[index] for start in starts], gates)
        return ys.flip(0) if backward else ys, ends


class _LoopedLSTM(_Loop, nn.LSTM):  # type: ignore[misc]  # forward's states are of any kind
    pass


class _LoopedGRU(_Loop, nn.GRU):  # type: ignore[misc]
    pass


_LOOPED: dict[type[nn.RNNBase], type[_Loop]] = {nn.LSTM: _LoopedLSTM, nn.GRU: _LoopedGRU}


def _scan(key: int, starts: list[Tensor], gates: Tensor) -> tuple[list[Tensor], Tensor]:
    from torch._higher_order_ops.scan import scan

    def step(carry: list[Tensor], gates: Tensor) -> tuple[list[Tensor], Tensor]:
        made = torch.ops.ashore.recurrent_step(carry, gates, key)
        return list(made), made[0].clone()

    ends, ys = scan(step, starts, gates)
    return ends, ys


def _suffixes(layer: nn.RNNBase) -> Iterator[str]:
    for number in range(layer.num_layers):
        yield f"_l{number}"
        if layer.bidirectional:
            yield f"_l{number}_reverse"


@torch.library.custom_op("ashore::recurrent_step", mutates_args=())
def _recurrent_step(carry: list[Tensor], gates: Tensor, key: int) -> list[Tensor]:
    with torch.no_grad():
        return list(_steps[key](*carry, gates))


@_recurrent_step.register_fake
def _(carry: list[Tensor], *_: Any) -> list[Tensor]:
    return [torch.empty_like(part) for part in carry]
