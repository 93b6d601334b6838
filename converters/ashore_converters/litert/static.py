"""Static int8 that stays close to PyTorch and inside the delegate.

What the recipe leaves open is settled here, by measurement on calibration samples only: operators that the delegate
takes in float but not in int8 stay in float; how cautious activation ranges are (see ``litert_calibrate``), and how
many of the first layers stay in float (see ``sensitivity``), is chosen by the SQNR it gives. ``litert_float`` adds
what can be told without measuring outputs. Layers that are treated other than the recipe asked are written into it
as layer rules.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ashore.interfaces import Progress
from ashore.types.conversion import ConversionRequest
from ashore.types.recipe import LayerRule, RangeEstimator, Recipe
from ashore.types.tensor import Sample
from ashore_converters.litert.calibrate import Observed, Ranges, file_inputs, file_outputs
from ashore_converters.litert.edit import with_copied_outputs
from ashore_converters.litert.eight_bits import quantize_rounded, with_rounded
from ashore_converters.litert.file import read_graph
from ashore_converters.litert.float import float_starts, kept_float, with_dynamic_layers
from ashore_converters.litert.layers import scope
from ashore_converters.litert.quantize import FloatFile, open_float_file, quantize
from ashore_converters.litert.trial import try_file
from ashore_converters.ranges import CAUTIONS
from ashore_converters.sensitivity import FloatStart, choose_float_start, sqnr_db

if TYPE_CHECKING:
    from ashore_converters.rounding import Chosen

_MEASURED_SAMPLES = 32
_DELEGATE_TRIALS = 3


@dataclass(frozen=True)
class StaticFile:
    """A quantized file, the recipe that was carried out, and what the user should know of it.

    ``rounding``: of the weights in 8 bits, None where all are rounded to the nearest.
    """

    content: bytes
    recipe: Recipe
    warnings: tuple[str, ...] = ()
    rounding: Chosen | None = None


def quantize_static(content: bytes, request: ConversionRequest, progress: Progress) -> StaticFile:
    """``content``: the float file. Raises LoweringFailed where the quantizer refuses."""
    measured, recipe, observed = measure(content, request, progress)
    progress("measuring ranges and float layers on the calibration samples")
    ranges = measured.best_ranges(recipe, observed)
    recipe, told = measured.with_best_start(recipe, ranges)
    final = replace(request, recipe=recipe)
    content, rounding = quantize_rounded(measured.file, final, progress, ranges, measured.kept)
    return StaticFile(content, recipe, told, rounding)


def measure(content: bytes, request: ConversionRequest, progress: Progress) -> tuple[Measured, Recipe, Observed]:
    """What static files of the float file ``content`` are made and judged with, and the recipe with dynamic layers."""
    file = open_float_file(with_copied_outputs(content), request.model)
    progress("observing ranges")
    observed = Observed(file.content, file.graph, request.calibration, request.recipe.ranges)
    recipe = request.recipe if request.recipe.int8_io else with_dynamic_layers(request.recipe, file, observed)
    kept = kept_float(file, observed, request.model)
    progress("looking for what the delegate takes in int8")
    kept = _delegated_only(file, recipe, observed.ranges(0), kept)
    return Measured(file, kept, request.calibration[:_MEASURED_SAMPLES]), recipe, observed


def _delegated_only(file: FloatFile, recipe: Recipe, ranges: Ranges, kept: frozenset[str]) -> frozenset[str]:
    """``kept`` and every operator that in int8 runs outside of the delegate."""
    for _ in range(_DELEGATE_TRIALS):
        outside = _int8_outside_delegate(quantize(file, recipe, ranges, kept)) - kept
        if not outside:
            break
        kept |= outside
    return kept


def _int8_outside_delegate(content: bytes) -> frozenset[str]:
    """Scopes, empty where the file does not run at all."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trial.tflite"
        path.write_bytes(content)
        outside = try_file(path, infer=False).outside
    graph = read_graph(content, "the quantized file")
    ops = [graph.ops[index] for index in outside]
    return frozenset(scope(op, graph) for op in ops if graph.tensors[op.outputs[0]].dtype == "int8")


class Measured:
    """Quantized files of one model, judged by their outputs on some samples."""

    def __init__(self, file: FloatFile, kept: frozenset[str], samples: Sequence[Sample]) -> None:
        self.file, self.kept = file, kept
        self._inputs = [file_inputs(sample, file.graph) for sample in samples]
        self._reference = file_outputs(file.content, self._inputs)

    def best_ranges(self, recipe: Recipe, observed: Observed) -> Ranges:
        """By measurement where the estimator is left to us: the mean, all that was seen, or the middle between them."""
        if recipe.ranges is not RangeEstimator.MEAN:
            return observed.ranges(0.0)
        candidates = [observed.ranges(caution) for caution in CAUTIONS]
        return max(candidates, key=lambda ranges: self._sqnr_db(recipe, ranges))

    def with_best_start(self, recipe: Recipe, ranges: Ranges) -> tuple[Recipe, tuple[str, ...]]:
        """The recipe with rules for the layers at the start that should stay in float, and what to tell of them."""
        if recipe.int8_io:  # a float start would only add conversions there
            return recipe, ()
        found, rules = self.best_start(recipe, ranges)
        return replace(recipe, layers=(*recipe.layers, *rules)), _told(found, rules, len(self._inputs))

    def best_start(self, recipe: Recipe, ranges: Ranges) -> tuple[FloatStart, list[LayerRule]]:
        """What the first layers gain by staying in float, and rules for those of them that should."""
        starts = float_starts(self.file)
        recipes = [replace(recipe, layers=(*recipe.layers, *rules)) for rules in starts]
        found = choose_float_start(lambda layers: self._sqnr_db(recipes[layers], ranges), len(recipes) - 1)
        return found, starts[found.layers]

    def quantized(self, recipe: Recipe, ranges: Ranges, rounding: Chosen | None = None) -> bytes:
        file = self.file if rounding is None else with_rounded(self.file, rounding, recipe, self.kept)
        return quantize(file, recipe, ranges, self.kept)

    def _sqnr_db(self, recipe: Recipe, ranges: Ranges) -> float:
        """Against the float file; always measured with float edges, which are what can be compared."""
        content = self.quantized(replace(recipe, int8_io=False), ranges)
        return sqnr_db(self._reference, file_outputs(content, self._inputs))


def _told(found: FloatStart, rules: Sequence[LayerRule], samples: int) -> tuple[str, ...]:
    if not found.layers:
        return ()
    kept = ", ".join(rule.pattern.replace("\\", "") for rule in rules)
    return (
        f"{kept} stay in fp32: on {samples} calibration samples that raises SQNR from "
        f"{found.int8_sqnr_db:.1f} to {found.sqnr_db:.1f} dB",
    )
