"""Layers while a module runs, whether they are called as modules, as functions or as operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_aten = torch.ops.aten
_LINEAR_CALLS = frozenset({torch.nn.functional.linear, _aten.linear.default})
_CONVOLUTION_CALLS = frozenset(
    {
        torch.conv1d,
        torch.conv2d,
        _aten.conv1d.default,
        _aten.conv1d.padding,
        _aten.conv2d.default,
        _aten.conv2d.padding,
    }
)


@dataclass(frozen=True)
class Call:
    """Of a linear layer or a convolution; ``compute``: the same call with other inputs and another weight."""

    inputs: Tensor
    weight: Tensor
    linear: bool
    compute: Callable[[Tensor, Tensor], Tensor]

    @property
    def outputs(self) -> Tensor:
        return self.compute(self.inputs, self.weight)

    @property
    def key(self) -> int:
        """Tells weights apart."""
        return id(self.weight)


class LayerCalls(TorchFunctionMode):
    """While it is entered, :meth:`called` answers for linear layers and convolutions."""

    def called(self, call: Call) -> Tensor:
        raise NotImplementedError

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        if func not in _LINEAR_CALLS | _CONVOLUTION_CALLS:
            return func(*args, **given)
        operands = [*args, *(given.pop(name) for name in ("input", "weight")[len(args) :])]
        inputs, weight, rest = operands[0], operands[1], operands[2:]
        return self.called(Call(inputs, weight, func in _LINEAR_CALLS, lambda x, w: func(x, w, *rest, **given)))
