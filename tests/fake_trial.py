"""A trial of the fake backend: every linear layer adds noise of a known size unless it is in float."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ashore.pipeline.blocks import inside
from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore.types.recipe import Recipe
from ashore.types.sensitivity import LayerCost, LayerReading
from ashore.types.tensor import Array, Sample


class FakeTrial:
    """See :class:`ashore.interfaces.Trial`; ``noises``: by module path, in the outputs' own unit."""

    def __init__(self, request: ConversionRequest, noises: Mapping[str, float], start: tuple[str, ...]) -> None:
        self._request, self._noises, self.start = request, noises, start
        modules = request.model.get_submodule("model").named_modules()
        linear = [(path, layer) for path, layer in modules if isinstance(layer, torch.nn.Linear)]
        self.layers = tuple(LayerCost(p, "linear", layer.weight.numel(), layer.weight.numel()) for p, layer in linear)

    def run(self, sample: Sample, float_modules: tuple[str, ...]) -> Sample:
        from ashore.sources.eager import run_eager

        results = run_eager(self._request.model, sample, self._request.outputs)  # type: ignore[arg-type]
        noise = noise_left(self._noises, lambda path: any(inside(path, module) for module in float_modules))
        return {name: shaken(array, noise) for name, array in results.items()}

    def readings(self, samples: Sequence[Sample]) -> Mapping[str, LayerReading]:
        assert samples
        paths = [layer.path for layer in self.layers]
        return {path: LayerReading(-1.0, 2.0, 1.5, 40.0 - 15.0 * index) for index, path in enumerate(paths)}


def noise_of_file(noises: Mapping[str, float], recipe: Recipe) -> float:
    """What is left of ``noises`` in a file of ``recipe``."""
    return noise_left(noises, lambda path: _precision_at(path, recipe) is Precision.FP32)


def noise_left(noises: Mapping[str, float], is_float: object) -> float:
    assert callable(is_float)
    return float(np.sqrt(sum(noise**2 for path, noise in noises.items() if not is_float(path))))


def shaken(array: Array, noise: float) -> Array:
    signs = np.where(np.arange(array.size).reshape(array.shape) % 2, 1, -1)
    return (array + noise * signs).astype(array.dtype) if noise else array


def _precision_at(path: str, recipe: Recipe) -> Precision:
    parts = path.split(".")
    around = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
    return next((rule.precision for rule in recipe.layers if any(map(rule.matches, around))), recipe.precision)
