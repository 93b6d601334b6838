"""What a quantized file will make of a model, near enough to compare two versions of it: simulated in PyTorch.

Layers alone are quantized, and alike for both backends: their weights by channel or in groups, symmetrically, and their
inputs to 256 levels. What lies between them stays in float.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

import torch
from torch import Tensor

from ashore.types.precision import Precision
from ashore.types.recipe import Recipe
from ashore.types.tensor import Array
from ashore_converters.calls import Call, LayerCalls
from ashore_converters.ranges import range_from_samples
from ashore_converters.repairs.capture import named_tensors
from ashore_converters.sensitivity import sqnr_db

Inputs = tuple[Tensor, ...]
"""A sample, as the model takes it."""

_LARGEST_INT8, _LARGEST_INT4 = 127, 7
_LEVELS = 256


def float_outputs(model: torch.nn.Module, samples: Iterable[Inputs]) -> list[list[Array]]:
    """For each sample the outputs of floating-point numbers."""
    with torch.no_grad():
        results = [model(*inputs) for inputs in samples]
    return [[tensor.numpy() for tensor in outputs if tensor.is_floating_point()] for outputs in results]


def simulated_sqnr_db(
    model: torch.nn.Module,
    reference: Sequence[Sequence[Array]],
    learned: Sequence[Inputs],
    judged: Sequence[Inputs],
    recipe: Recipe,
) -> float:
    """Of the quantized ``model`` against ``reference``, the float model's outputs on the samples ``judged``.

    The mean over these samples, so that a single one whose values leave the ranges does not decide. ``learned``: the
    samples that ranges are observed on.
    """
    quantized = Quantized(model, recipe)
    if recipe.precision is Precision.INT8:
        quantized.observe(learned)
    with quantized:
        got = float_outputs(model, judged)
    return fmean(sqnr_db(*pair) for pair in zip(reference, got, strict=True))


class Quantized(LayerCalls):
    """The layers of ``model`` as ``recipe.precision`` has them; its layer rules do not count."""

    def __init__(self, model: torch.nn.Module, recipe: Recipe) -> None:
        super().__init__()
        self._model, self._recipe = model, recipe
        self._weights = {id(tensor): tensor for tensor in named_tensors(model).values()}
        self._rounded: dict[int, Tensor] = {}
        self._ranges: dict[int, tuple[Tensor, Tensor]] = {}

    def observe(self, samples: Iterable[Inputs]) -> None:
        seen = Extremes()
        for inputs in samples:
            with torch.no_grad(), seen:
                self._model(*inputs)
            seen.next_sample()
        self._ranges = {key: seen.range(key) for key in seen.keys}

    def called(self, call: Call) -> Tensor:
        static = self._recipe.precision is Precision.INT8
        if call.key not in self._weights or not (call.linear or static):
            return call.outputs
        if call.key not in self._rounded:
            self._rounded[call.key] = round_weight(call.weight, self._recipe)
        return call.compute(self._on_levels(call.inputs, call.key), self._rounded[call.key])

    def _on_levels(self, inputs: Tensor, key: int) -> Tensor:
        if self._recipe.precision is not Precision.INT8:
            low, high = inputs.amin(-1, keepdim=True), inputs.amax(-1, keepdim=True)
            return _on_levels(inputs, low.clamp(max=0), high.clamp(min=0))
        return _on_levels(inputs, *self._ranges[key]) if key in self._ranges else inputs


class Extremes(LayerCalls):
    """Of every layer's inputs, in each sample."""

    def __init__(self) -> None:
        super().__init__()
        self._samples: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
        self._now: dict[int, tuple[float, float]] = {}

    @property
    def keys(self) -> Iterable[int]:
        return self._samples

    def called(self, call: Call) -> Tensor:
        low, high = self._now.get(call.key, (float("inf"), -float("inf")))
        self._now[call.key] = min(low, float(call.inputs.min())), max(high, float(call.inputs.max()))
        return call.outputs

    def next_sample(self) -> None:
        for key, extremes in self._now.items():
            self._samples[key].append(extremes)
        self._now = {}

    def range(self, key: int) -> tuple[Tensor, Tensor]:
        minima, maxima = zip(*self._samples[key], strict=True)
        low, high = range_from_samples(minima, maxima)
        return torch.tensor(low), torch.tensor(high)


def round_weight(weight: Tensor, recipe: Recipe) -> Tensor:
    """To int8 with a scale for each row, or in ``int4`` to four bits with one for each group that divides a row."""
    if recipe.precision is not Precision.INT4:
        return _nearest(weight.reshape(len(weight), -1), _LARGEST_INT8).reshape(weight.shape)
    columns = weight.shape[1]
    groups = recipe.group_size if columns % recipe.group_size == 0 else columns
    return _nearest(weight.reshape(-1, groups), _LARGEST_INT4).reshape(weight.shape)


def _nearest(rows: Tensor, largest: int) -> Tensor:
    scales = rows.abs().amax(-1, keepdim=True) / largest
    scales = torch.where(scales > 0, scales, 1.0)
    return (rows / scales).round() * scales


def _on_levels(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    scale = (high - low) / (_LEVELS - 1)
    scale = torch.where(scale > 0, scale, 1.0)
    zero = (-low / scale).round()
    return ((values / scale).round() + zero).clamp(0, _LEVELS - 1).sub(zero) * scale
