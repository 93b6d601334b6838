"""LSTM and GRU as loops whose step is an operator of its own, until XNNPACK's delegate takes its place."""

from __future__ import annotations

from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore_converters.recurrent import loop_recurrent
from ashore_converters.recurrent_step import Step

_steps: dict[int, Step] = {}
_keys = count()


def loops(request: ConversionRequest) -> bool:
    """Whether the file can hold loops: a step's delegate has fixed sizes, and computes in fp32 or int8."""
    return request.recipe.precision is not Precision.FP16 and not any(spec.dynamic for spec in request.inputs)


def loop_with_called_steps(module: nn.Module) -> list[int]:
    """In place: every LSTM and GRU becomes a loop. Returns the keys of its steps, for ``forget``."""
    loop_recurrent(module, _Called)
    return [part.key for part in module.modules() if isinstance(part, _Called)]


def step_of(key: int) -> Step:
    return _steps[key]


def forget(keys: list[int]) -> None:
    for key in keys:
        _steps.pop(key, None)


class _Called(nn.Module):
    """Holds no weights, so that they are in the file once, in the delegate."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.key = next(_keys)
        _steps[self.key] = step

    def forward(self, *operands: Tensor) -> list[Tensor]:
        made: list[Tensor] = torch.ops.ashore.recurrent_step(operands[:-1], operands[-1], self.key)
        return made


@torch.library.custom_op("ashore::recurrent_step", mutates_args=())
def _recurrent_step(carry: list[Tensor], gates: Tensor, key: int) -> list[Tensor]:
    with torch.no_grad():
        return list(_steps[key](*carry, gates))


@_recurrent_step.register_fake
def _(carry: list[Tensor], *_: Any) -> list[Tensor]:
    return [torch.empty_like(part) for part in carry]
