"""Bias correction: Nagel et al. 2019, arXiv:1906.04721, in its empirical form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ashore.types.recipe import Recipe
from ashore_converters.calls import Call, LayerCalls
from ashore_converters.repairs.capture import held
from ashore_converters.repairs.simulate import Inputs, round_weight
from ashore_converters.repairs.structure import Shift


def correct_biases(model: torch.nn.Module, shifts: Sequence[Shift], samples: Sequence[Inputs], recipe: Recipe) -> int:
    """In place: each layer's outputs no longer have another mean once its weight is rounded; returns how many layers.

    The mean error that rounding a weight makes is measured on the float model's own inputs of that layer.
    """
    errors = _Errors({id(held(model, shift.weight)): shift.weight for shift in shifts}, recipe)
    for inputs in samples if shifts else ():
        with torch.no_grad(), errors:
            model(*inputs)
    known = [shift for shift in shifts if shift.weight in errors.sums]
    for shift in known:
        with torch.no_grad():
            held(model, shift.tensor).add_(shift.sign * errors.sums[shift.weight] / errors.counts[shift.weight])
    return len(known)


class _Errors(LayerCalls):
    """``sums`` [outputs] of the errors of a weight's outputs, and ``counts`` of them."""

    def __init__(self, names: Mapping[int, str], recipe: Recipe) -> None:
        super().__init__()
        self._names, self._recipe = names, recipe
        self._rounded: dict[str, Tensor] = {}
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def called(self, call: Call) -> Tensor:
        outputs = call.outputs
        if (name := self._names.get(call.key)) is not None:
            if name not in self._rounded:
                self._rounded[name] = round_weight(call.weight, self._recipe)
            wrong = call.compute(call.inputs, self._rounded[name]) - outputs
            errors = wrong.movedim(-1 if call.linear else 1 - call.weight.dim(), -1).flatten(0, -2)
            self.sums[name] = self.sums.get(name, torch.zeros(())) + errors.sum(0)
            self.counts[name] = self.counts.get(name, 0) + len(errors)
        return outputs
