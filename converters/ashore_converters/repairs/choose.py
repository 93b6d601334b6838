"""The repairs that a recipe asks for, carried out one after the other as far as they measurably help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, TypeVar

import torch

from ashore.interfaces import Progress
from ashore.sources.copying import copy_module
from ashore.sources.quantized import is_quantized_program
from ashore.sources.threads import settled_threads
from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore.types.recipe import LayerRule, Recipe, Repair, Rounding
from ashore.types.tensor import Sample
from ashore_converters.bake import bake, quantized_weights, user_path
from ashore_converters.layer_rules import enclosing, precision_at
from ashore_converters.repairs.correction import correct_biases
from ashore_converters.repairs.scaling import equalization, fold_norms, smoothquant
from ashore_converters.repairs.simulate import Inputs, float_outputs, simulated_sqnr_db
from ashore_converters.repairs.structure import Structure, structure

_HELD_BACK = 4
"""One of so many samples is not learned from, but judges."""

_FLOAT = (Precision.FP32, Precision.FP16)
_LEAST_GAIN_DB = 0.5
"""By less than that the simulation and finished files disagree about what is better."""


@dataclass(frozen=True)
class Repaired:
    """``request``: with the repaired model, and a recipe that holds what was carried out; ``told``: for the user."""

    request: ConversionRequest
    told: tuple[str, ...] = ()


def repair(request: ConversionRequest, progress: Progress, *, folds_norms: bool = False) -> Repaired:
    """The same request where it asks for no repair or none helps; else with a repaired copy of its model.

    ``folds_norms``: the backend multiplies the weight of a norm that has a bias into the layers behind.
    """
    recipe = request.recipe
    if not recipe.repairs:
        return Repaired(request)
    if reason := _pointless(request):
        return _with((), request, (f"repairs are left out ({', '.join(recipe.repairs)}): {reason}",))
    progress(f"repairing by {', '.join(recipe.repairs)}")
    bench = _Bench(request, folds_norms)
    with settled_threads(sum(weight.numel() for weight in request.model.parameters())):
        kept = tuple(each for each in Repair if each in recipe.repairs and bench.keeps(each))
    repaired = replace(request, model=bench.model) if kept else request
    return _with(kept, repaired, tuple(bench.told))


class _Made(Protocol):
    """A file, with the recipe that was carried out and what the user should know of it."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def recipe(self) -> Recipe: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...


_File = TypeVar("_File", bound=_Made)


def with_repairs(
    request: ConversionRequest,
    progress: Progress,
    make: Callable[[ConversionRequest], _File],
    *,
    folds_norms: bool = False,
) -> _File:
    """What ``make`` makes of the repaired request, with everything told.

    Biases are corrected for layers in integers alone. Where making the file puts more layers in float, it is made
    again with these known beforehand, as it would be from the recipe that was carried out.
    """
    repaired = repair(request, progress, folds_norms=folds_norms)
    made = make(repaired.request)
    corrected = Repair.BIAS_CORRECTION in repaired.request.recipe.repairs
    if corrected and not _float_rules(made.recipe) <= _float_rules(request.recipe):
        known = replace(request, recipe=replace(request.recipe, layers=made.recipe.layers))
        again = with_repairs(known, progress, make, folds_norms=folds_norms)
        return replace(again, warnings=tuple(dict.fromkeys((*again.warnings, *made.warnings))))
    return replace(made, warnings=(*repaired.told, *made.warnings))


def _float_rules(recipe: Recipe) -> set[LayerRule]:
    return {rule for rule in recipe.layers if rule.precision in _FLOAT}


def _with(kept: tuple[Repair, ...], request: ConversionRequest, told: tuple[str, ...]) -> Repaired:
    return Repaired(replace(request, recipe=replace(request.recipe, repairs=kept)), told)


def _pointless(request: ConversionRequest) -> str | None:
    if not request.recipe.repairs_something:
        return f"{request.recipe.precision} rounds nothing to integers"
    if is_quantized_program(request.model) or quantized_weights(request.model):
        return "the model is quantized already"
    return None


class _Bench:
    """The model with the repairs kept so far, and what it is measured with.

    Layer rules do not count here: a converter adds some of its own to the recipe that it carries out, which then still
    makes the same file.
    """

    def __init__(self, request: ConversionRequest, folds_norms: bool) -> None:
        self.model = bake(request.model)
        self.told: list[str] = []
        self._recipe = request.recipe
        samples = [_tensors(sample, request) for sample in request.calibration]
        self._judged = samples[_HELD_BACK - 1 :: _HELD_BACK] or samples[-1:]
        self._learned = [sample for sample in samples if not any(sample is judge for judge in self._judged)]
        self._reference = float_outputs(self.model, self._judged)
        found = _structure(self.model, _tensors(request.example, request))
        self._pairs = fold_norms(self.model, found.pairs) if folds_norms else found.pairs
        self._shifts = found.shifts
        self._sqnr_db = self._measured_db(self.model)

    def keeps(self, repair: Repair) -> bool:
        """Whether ``repair`` helps; the model then has it."""
        if reason := self._unsuited(repair):
            self.told.append(f"{repair} is left out: {reason}")
            return False
        candidate = copy_module(self.model)
        count = self._carry_out(repair, candidate)
        if not count:
            self.told.append(f"{repair} is left out: the model has no layers that it could be carried out on")
            return False
        before_db, after_db = self._sqnr_db, self._measured_db(candidate)
        kept = after_db > before_db + _LEAST_GAIN_DB
        self.told.append(_gain(repair, before_db, after_db, len(self._judged), kept))
        if kept:
            self.model, self._sqnr_db = candidate, after_db
        return kept

    def _unsuited(self, repair: Repair) -> str | None:
        by_gptq = self._recipe.rounding_of(self._recipe.precision) is Rounding.GPTQ
        if repair is Repair.BIAS_CORRECTION and by_gptq:
            return "GPTQ, which rounds the weights, makes up for its errors by itself"
        return None

    def _carry_out(self, repair: Repair, model: torch.nn.Module) -> int:
        if repair is Repair.SMOOTHQUANT:
            return smoothquant(model, self._pairs, self._learned)
        if repair is Repair.EQUALIZATION:
            return equalization(model, self._pairs)
        shifts = [shift for shift in self._shifts if not _stays_float(shift.weight, self._recipe)]
        return correct_biases(model, shifts, self._learned, self._recipe)

    def _measured_db(self, model: torch.nn.Module) -> float:
        return simulated_sqnr_db(model, self._reference, self._learned, self._judged, self._recipe)


def _structure(model: torch.nn.Module, example: Inputs) -> Structure:
    """Empty for a model that torch.export cannot capture: the converter is about to try it, and to explain why not."""
    try:
        return structure(model, example)
    except Exception:  # noqa: BLE001  # torch.export documents no common class for what it raises
        return Structure((), ())


def _gain(repair: Repair, before_db: float, after_db: float, samples: int, kept: bool) -> str:
    held_back = f"{samples} calibration sample{'s' if samples > 1 else ''} held back"
    if kept:
        return f"{repair} raises the simulated SQNR from {before_db:.1f} to {after_db:.1f} dB on {held_back}: kept"
    return f"{repair} takes the simulated SQNR from {before_db:.1f} to {after_db:.1f} dB on {held_back}: left out"


def _stays_float(weight: str, recipe: Recipe) -> bool:
    asked = precision_at(recipe, enclosing(user_path(weight.rpartition(".")[0])))
    return asked in _FLOAT


def _tensors(sample: Sample, request: ConversionRequest) -> Inputs:
    return tuple(torch.tensor(sample[spec.name]) for spec in request.inputs)
