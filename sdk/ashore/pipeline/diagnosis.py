"""Which layers int8 hurts: each measured as the only one in int8, and where the noise adds up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ashore import registry
from ashore.errors import UnsupportedModel, UsageError
from ashore.interfaces import Progress, Trial
from ashore.pipeline.artifacts import load_artifact
from ashore.pipeline.blocks import all_but, inside
from ashore.pipeline.origins import check_made_of
from ashore.pipeline.parity import measure_parity
from ashore.pipeline.trials import open_trial, shares_of
from ashore.types.conversion import ConversionRequest
from ashore.types.diagnosis import Diagnosis, LayerDiagnosis
from ashore.types.precision import Precision
from ashore.types.recipe import Recipe
from ashore.types.sensitivity import LayerCost, LayerReading
from ashore.types.source import ModelSource

if TYPE_CHECKING:
    from ashore.sources.prepare import PreparedSource

_SAMPLES = 8
"""A layer's noise differs little from sample to sample; every layer is measured on each of them."""


def diagnose(
    source: ModelSource,
    *,
    to: Sequence[str],
    artifact: Path | None = None,
    recipe: Recipe | None = None,
    progress: Progress = lambda _stage: None,
) -> list[Diagnosis]:
    """Try every layer in int8 by itself, and all of them at once, on calibration samples.

    Args:
        source: the model, with calibration samples.
        to: backends; an artifact has its own.
        artifact: a file made of ``source``: its recipe is examined, and the layers that it keeps in float are left out.
        recipe: of int8, where there is no artifact.

    Raises:
        UsageError: there are no calibration samples, or the artifact was made of another model or is not int8.
        UnsupportedModel: a backend cannot do the model in int8, or has no layer to examine.
    """
    from ashore.sources.prepare import prepare

    progress(f"running {source.name} in PyTorch")
    prepared = prepare(source)
    recipe, backends = _of_artifact(artifact, prepared) if artifact else (recipe or Recipe(), to)
    request = prepared.request(recipe.with_precision(Precision.INT8))
    return [_diagnose(backend, request, prepared, progress) for backend in dict.fromkeys(backends)]


def _of_artifact(path: Path, prepared: PreparedSource) -> tuple[Recipe, tuple[str, ...]]:
    artifact = load_artifact(path)
    manifest = artifact.manifest
    if manifest is None or not manifest.precision.needs_calibration:
        what = "has no manifest" if manifest is None else f"is {manifest.precision}"
        raise UsageError(f"{path} {what}, and only static int8 is diagnosed", "give an int8 or mixed file, or a source")
    check_made_of(artifact, prepared)
    return manifest.recipe, (manifest.backend,)


def _diagnose(backend: str, request: ConversionRequest, prepared: PreparedSource, progress: Progress) -> Diagnosis:
    converter = registry.get_converter(backend)
    trial = open_trial(
        converter, request, lambda step: progress(f"{backend}: {step}"), instead="diagnose another backend"
    )
    if not trial.layers:
        raise UnsupportedModel(
            f"{backend} has no layer of {prepared.source.name!r} that could be int8 and has a name",
            "put functional convolutions and linear calls into modules; what a recipe keeps in float does not count",
        )
    measured = _Measured(trial, request, prepared)
    layers = []
    readings = trial.readings(measured.samples)
    for index, layer in enumerate(trial.layers):
        progress(f"{backend}: layer {index + 1} of {len(trial.layers)}, {layer.path}")
        layers.append(measured.layer(layer, readings.get(layer.path)))
    name, count = prepared.source.name, len(measured.samples)
    return Diagnosis(name, backend, count, measured.sqnr_db(()), measured.sqnr_db(trial.start), tuple(layers))


class _Measured:
    def __init__(self, trial: Trial, request: ConversionRequest, prepared: PreparedSource) -> None:
        self._trial, self._labels = trial, prepared.source.labels
        step = max(1, len(request.calibration) // _SAMPLES)
        self.samples = request.calibration[::step][:_SAMPLES]
        self._reference = prepared.answers(self.samples)
        self._paths = [layer.path for layer in trial.layers]

    def layer(self, layer: LayerCost, seen: LayerReading | None) -> LayerDiagnosis:
        return LayerDiagnosis(
            layer.path,
            layer.operator,
            self.sqnr_db(all_but(layer.path, self._paths)),
            seen,
            *shares_of([layer], self._trial.layers),
            any(inside(layer.path, kept) for kept in self._trial.start),
        )

    def sqnr_db(self, float_modules: tuple[str, ...]) -> float:
        got = [self._trial.run(sample, float_modules) for sample in self.samples]
        return measure_parity(self._reference, got, floor_db=0.0, labels=self._labels).sqnr_db
