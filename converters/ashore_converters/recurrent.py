"""LSTM and GRU as loops over time.

torch.export unrolls them: some twenty operators a step. Here the inputs of all steps are multiplied at once, in a
linear layer, and what is left of a step is the body of a loop (torch's ``scan``), however long the sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ashore.sources.reset_first import ResetFirstGRU
from ashore_converters.bake import recurrent_layers, user_path
from ashore_converters.recurrent_step import GRUStep, LSTMStep, ResetFirstGRUStep, Step

_KINDS: dict[type[nn.RNNBase], type[Step]] = {
    nn.LSTM: LSTMStep,
    nn.GRU: GRUStep,
    ResetFirstGRU: ResetFirstGRUStep,
}


def loopable(layer: nn.Module) -> bool:
    """Plain LSTM and GRU layers; not ``nn.RNN``, not LSTM with projections, not subclasses of the user's."""
    return type(layer) in _KINDS and isinstance(layer, nn.RNNBase) and not layer.proj_size


def recurrent_paths(model: nn.Module, *, may_loop: bool, looped: bool) -> list[str]:
    """Recurrent layers that become loops, or those whose every step becomes operators of its own.

    Args:
        may_loop: whether the file can hold loops.
    """
    layers = recurrent_layers(model).items()
    return [path for path, layer in layers if (loopable(layer) and may_loop) is looped]


def loop_recurrent(module: nn.Module, called: Callable[[Step], nn.Module]) -> None:
    """In place: every LSTM and GRU becomes a loop.

    Args:
        called: makes of a step the module that the loop calls, with the same arguments and results.
    """
    for path, layer in list(module.named_modules()):
        if path and isinstance(layer, nn.RNNBase) and loopable(layer):
            _become_loop(layer, user_path(path), called)


def is_loop(kind: str) -> bool:
    """Whether a module of this qualified class is a layer that became a loop."""
    return kind in {f"{looped.__module__}.{looped.__qualname__}" for looped in _LOOPED.values()}


def _become_loop(layer: nn.RNNBase, path: str, called: Callable[[Step], nn.Module]) -> None:
    """The module stays what it was to the code around it, which may read ``hidden_size`` or ask for its class."""
    suffixes = list(_suffixes(layer))
    steps = [_KINDS[type(layer)](layer, suffix, path) for suffix in suffixes]
    projections = nn.ModuleList(step.projection(layer, suffix) for step, suffix in zip(steps, suffixes, strict=True))
    layer.__class__ = _LOOPED[type(layer)]
    layer._flat_weights_names = []
    layer._parameters.clear()
    layer.projections, layer.steps = projections, nn.ModuleList(map(called, steps))


class _Loop(nn.RNNBase):
    """What the layer it is made of computes, with the same arguments and results."""

    projections: nn.ModuleList
    steps: nn.ModuleList

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
        for first in range(0, len(self.steps), self.directions):
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
            shape = (len(self.steps), x.shape[1], self.hidden_size)  # scan takes no two views of one tensor
            return tuple(x.new_zeros(shape) for _ in range(2 if self.lstm else 1))
        parts = tuple(state) if self.lstm else (state,)
        return parts if batched else tuple(part.unsqueeze(1) for part in parts)

    def _direction(self, index: int, x: Tensor, starts: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor]]:
        backward = self.directions == 2 and index % 2
        gates = self.projections[index](x.flip(0) if backward else x)
        ends, ys = _scan(self.steps[index], [start[index] for start in starts], gates)
        return ys.flip(0) if backward else ys, ends


class _LoopedLSTM(_Loop, nn.LSTM):  # type: ignore[misc]  # forward's states are of any kind
    pass


class _LoopedGRU(_Loop, nn.GRU):  # type: ignore[misc]
    pass


class _LoopedResetFirstGRU(_Loop, ResetFirstGRU):  # type: ignore[misc]
    pass


_LOOPED: dict[type[nn.RNNBase], type[_Loop]] = {
    nn.LSTM: _LoopedLSTM,
    nn.GRU: _LoopedGRU,
    ResetFirstGRU: _LoopedResetFirstGRU,
}


def _scan(step: nn.Module, starts: list[Tensor], gates: Tensor) -> tuple[list[Tensor], Tensor]:
    from torch._higher_order_ops.scan import scan

    def body(carry: list[Tensor], gates: Tensor) -> tuple[list[Tensor], Tensor]:
        made = list(step(*carry, gates))
        return made, made[0].clone()

    ends, ys = scan(body, starts, gates)
    return ends, ys


def _suffixes(layer: nn.RNNBase) -> Iterator[str]:
    for number in range(layer.num_layers):
        yield f"_l{number}"
        if layer.bidirectional:
            yield f"_l{number}_reverse"
