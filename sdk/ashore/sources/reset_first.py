"""The GRU that resets its state before it multiplies it, which PyTorch lacks: ONNX's ``linear_before_reset=0``.

The equations are those of ONNX's operator (onnx.ai/onnx/operators, GRU) and of Cho et al. 2014 (arXiv:1406.1078):
``h' = (1 - z) n + z h`` with ``n = tanh(W x + R (r h) + b)``, where PyTorch has ``r (R h + b)`` in the place of
``R (r h)``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

_SCHEMA = (
    "(Tensor input, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, "
    "bool train, bool bidirectional, bool batch_first) -> (Tensor, Tensor)"
)
"""That of ``aten::gru``."""


class ResetFirstGRU(nn.GRU):
    """One layer over ``x`` [steps, batch, inputs], of one direction or both; its parameters are those of ``nn.GRU``."""

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """``state`` [directions, batch, hidden]. Gives [steps, batch, directions x hidden], and the last state."""
        if state is None:
            state = x.new_zeros(2 if self.bidirectional else 1, x.shape[1], self.hidden_size)
        return gru_reset_first(x, state, [getattr(self, name) for name in self._flat_weights_names], self.bias)


def gru_reset_first(x: Tensor, state: Tensor, parameters: list[Tensor], biased: bool, *_: Any) -> tuple[Tensor, Tensor]:
    """Step by step. ``parameters``: of one direction after the other, in the order of ``nn.GRU``."""
    size = 4 if biased else 2
    made = []
    for index, start in enumerate(state):
        own = parameters[size * index : size * (index + 1)]
        ys = _direction(x.flip(0) if index else x, start, own)
        made.append((ys.flip(0) if index else ys, ys[-1]))
    return torch.cat([ys for ys, _ in made], -1), torch.stack([end for _, end in made])


def _direction(x: Tensor, h: Tensor, parameters: list[Tensor]) -> Tensor:
    w, r, *biases = parameters
    hidden = r.shape[1]
    gates = linear(x, w, biases[0] + biases[1] if biases else None)
    ys = []
    for step in gates:
        reset, update = (step[:, : 2 * hidden] + linear(h, r[: 2 * hidden])).sigmoid().split(hidden, 1)
        new = (step[:, 2 * hidden :] + linear(reset * h, r[2 * hidden :])).tanh()
        h = new + update * (h - new)
        ys.append(h)
    return torch.stack(ys)


# An operator as well, so that a recording shows it whole as it does aten's; an exporter takes it apart like that.
torch.library.define("ashore::gru_reset_first", _SCHEMA)
torch.library.impl("ashore::gru_reset_first", "CompositeImplicitAutograd", gru_reset_first)
GRU_RESET_FIRST: Any = torch.ops.ashore.gru_reset_first.default
