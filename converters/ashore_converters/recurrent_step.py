"""One step of an LSTM or GRU: what depends on the step before, with the inputs multiplied already."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Step(nn.Module):
    """``forward(*carry, gates) -> carry``: parts [batch, hidden], ``gates`` [batch, gates x hidden].

    The equations are those of ``torch.nn.LSTM`` and ``torch.nn.GRU``.
    """

    carries = 1

    def __init__(self, layer: nn.RNNBase, suffix: str, path: str) -> None:
        super().__init__()
        self.path, self.hidden = path, layer.hidden_size
        self.recurrent = _linear(getattr(layer, f"weight_hh{suffix}"))
        self.eval()

    def projection(self, layer: nn.RNNBase, suffix: str) -> nn.Linear:
        """The linear layer that makes ``gates`` of the layer's input."""
        made = _linear(getattr(layer, f"weight_ih{suffix}"))
        bias = torch.zeros(made.out_features) if not layer.bias else self._bias(layer, suffix)
        made.bias = nn.Parameter(bias, requires_grad=False)
        return made

    def _bias(self, layer: nn.RNNBase, suffix: str) -> Tensor:
        raise NotImplementedError

    def _part(self, gates: Tensor, number: int) -> Tensor:
        """A slice, not a chunk: XNNPACK has only the former."""
        return gates[:, number * self.hidden : (number + 1) * self.hidden]


class LSTMStep(Step):
    carries = 2

    def _bias(self, layer: nn.RNNBase, suffix: str) -> Tensor:
        return _both_biases(layer, suffix)

    def forward(self, h: Tensor, c: Tensor, gates: Tensor) -> tuple[Tensor, ...]:
        gates = gates + self.recurrent(h)
        enter, forget, new, out = (self._part(gates, number) for number in range(4))
        c = forget.sigmoid() * c + enter.sigmoid() * new.tanh()
        return out.sigmoid() * c.tanh(), c


class GRUStep(Step):
    def __init__(self, layer: nn.RNNBase, suffix: str, path: str) -> None:
        super().__init__(layer, suffix, path)
        if layer.bias:  # it is multiplied by the reset gate, so that it cannot move into the projection
            bias = getattr(layer, f"bias_hh{suffix}").detach().clone()
            self.recurrent.bias = nn.Parameter(bias, requires_grad=False)

    def _bias(self, layer: nn.RNNBase, suffix: str) -> Tensor:
        bias: Tensor = getattr(layer, f"bias_ih{suffix}").detach().clone()
        return bias

    def forward(self, h: Tensor, gates: Tensor) -> tuple[Tensor, ...]:
        own = self.recurrent(h)
        reset = (self._part(gates, 0) + self._part(own, 0)).sigmoid()
        update = (self._part(gates, 1) + self._part(own, 1)).sigmoid()
        new = (self._part(gates, 2) + reset * self._part(own, 2)).tanh()
        return (new + update * (h - new),)


class ResetFirstGRUStep(Step):
    """Of :class:`ashore.sources.reset_first.ResetFirstGRU`: the new state's product waits for the reset gate."""

    def __init__(self, layer: nn.RNNBase, suffix: str, path: str) -> None:
        super().__init__(layer, suffix, path)
        weight, gates = self.recurrent.weight, 2 * self.hidden
        self.recurrent, self.new = _linear(weight[:gates]), _linear(weight[gates:])

    def _bias(self, layer: nn.RNNBase, suffix: str) -> Tensor:
        return _both_biases(layer, suffix)

    def forward(self, h: Tensor, gates: Tensor) -> tuple[Tensor, ...]:
        own = self.recurrent(h)
        reset = (self._part(gates, 0) + self._part(own, 0)).sigmoid()
        update = (self._part(gates, 1) + self._part(own, 1)).sigmoid()
        new = (self._part(gates, 2) + self.new(reset * h)).tanh()
        return (new + update * (h - new),)


def _linear(weight: Tensor) -> nn.Linear:
    """With a copy of ``weight`` [outputs, inputs], and no bias."""
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    made.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    return made


def _both_biases(layer: nn.RNNBase, suffix: str) -> Tensor:
    both: Tensor = getattr(layer, f"bias_ih{suffix}") + getattr(layer, f"bias_hh{suffix}")
    return both.detach()
