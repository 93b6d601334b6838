"""From a source to published artifacts: prepare, convert, judge, publish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ashore import registry
from ashore.errors import AccuracyError, UsageError
from ashore.interfaces import Converter, Progress
from ashore.pipeline.artifacts import load_artifact
from ashore.pipeline.judging import Measured, hold
from ashore.pipeline.making import Plan, Work, describe, make, manifest_of, staged
from ashore.pipeline.manifests import dump_manifest
from ashore.pipeline.metrics import eager_metrics
from ashore.pipeline.mixed import MixedChoice, choose_mixed
from ashore.pipeline.pace import pace_warnings
from ashore.pipeline.publishing import publish, staging
from ashore.pipeline.recipes import dump_recipe
from ashore.pipeline.rivalry import Verdict, held_against_int8
from ashore.sources import load_source
from ashore.types.artifact import Artifact
from ashore.types.budget import Budget
from ashore.types.manifest import Manifest
from ashore.types.precision import Precision
from ashore.types.recipe import RangeEstimator, Recipe
from ashore.types.source import ModelSource

if TYPE_CHECKING:
    from ashore.sources.prepare import PreparedSource

DEFAULT_BACKENDS = ("executorch", "litert")
_NAME_BYTES = 200
"""File systems take 255, and backend, precision and ending follow the name."""


def convert(
    source: str | ModelSource,
    *,
    to: Sequence[str] = DEFAULT_BACKENDS,
    precisions: Sequence[str] | None = None,
    recipe: Recipe | None = None,
    output: Path | str | None = None,
    name: str | None = None,
    min_sqnr_db: float | None = None,
    max_top1_drop: float | None = None,
    max_metric_drop: Mapping[str, float] | None = None,
    progress: Progress = lambda _stage: None,
) -> list[Artifact]:
    """Convert a model to each backend in each precision, judge every file on held-back samples, publish all or none.

    Args:
        source: a ModelSource, or what names one (``file.py:name``, ``pkg.mod:name``, ``file.pt2``, ``file.onnx``,
            ``hf:DIR``).
        to: backends.
        precisions: words of ``Precision``; by default the recipe's own.
        recipe: layer rules and settings; by default none but the precision.
        output: folder of the files, made if missing; by default ``./<name>``.
        name: stem of the files; by default the source's.
        min_sqnr_db, max_top1_drop, max_metric_drop: what a file may cost, see ``ashore.types.budget.Budget``;
            ``mixed`` is searched to keep within it.
        progress: told each stage as it begins.

    Raises:
        UsageError: the call or the source is wrong.
        ConversionError: a backend cannot convert the model.
        AccuracyError: a file came out below its floor, or over its budget. In every case nothing is published.
    """
    from ashore.sources.prepare import prepare

    recipes = _recipes(recipe or Recipe(), precisions)
    converters = [registry.get_converter(backend) for backend in dict.fromkeys(to)]
    budget = Budget(min_sqnr_db, max_top1_drop, max_metric_drop or {})
    if not recipes or not converters:
        raise UsageError("nothing to convert to: no backend or no precision", "give at least one of each")
    source = _loaded(source)
    name = _checked_name(source.name if name is None else name)
    progress(f"running {name} in PyTorch")
    prepared = prepare(replace(source, name=name))
    output = Path(output or name)
    with staging(output) as stage:
        plans = [_plan(converter, each, prepared) for each in recipes for converter in converters]
        progress(f"answering {len(prepared.evaluation)} evaluation samples in PyTorch")
        with prepared.reference_ahead():
            if (eager := eager_metrics(prepared)) is not None:
                progress(f"PyTorch evaluates to {', '.join(f'{name} {value:.4g}' for name, value in eager.items())}")
            budget.check_metrics(eager or {})
            work = Work(prepared, budget, eager, stage, progress)
            manifests = _make_all(plans, work)
        publish([file for manifest in manifests for file in _files(stage, manifest)], output)
    return [Artifact(output / manifest.file.name, manifest.backend, manifest) for manifest in manifests]


def _loaded(source: str | ModelSource) -> ModelSource:
    if isinstance(source, ModelSource):
        return source
    if not isinstance(source, str):
        raise UsageError(
            f"a {type(source).__name__} was given to convert, which is no source",
            "give ModelSource(model, example_inputs), or words such as 'net.py:model'",
        )
    return load_source(source)


def _recipes(recipe: Recipe, precisions: Sequence[str] | None) -> list[Recipe]:
    """One for each precision; those without static int8 have no range to estimate, and so the usual estimator."""
    words = dict.fromkeys([recipe.precision.value] if precisions is None else precisions)
    recipes = [recipe.with_precision(_precision(word)) for word in words]
    if recipe.ranges is RangeEstimator.MEAN:
        return recipes
    if not any(each.precision.needs_calibration for each in recipes):
        raise UsageError(
            f"ranges = {recipe.ranges.value!r} is for activations of static int8, which {', '.join(words)} has none of",
            "add --precision int8 or mixed, or leave the ranges out",
        )
    usual = replace(recipe, ranges=RangeEstimator.MEAN)
    return [each if each.precision.needs_calibration else usual.with_precision(each.precision) for each in recipes]


def _precision(word: str) -> Precision:
    try:
        return Precision(word)
    except ValueError:
        raise UsageError(f"there is no precision {word!r}", f"known: {', '.join(Precision)}") from None


def _checked_name(name: str) -> str:
    if not name.isprintable() or not name.strip(". ") or set(name) & set("/\\:") or len(name.encode()) > _NAME_BYTES:
        raise UsageError(f"{name!r} cannot be the stem of a file", "give a plain name with --name")
    return name


def _plan(converter: Converter, recipe: Recipe, prepared: PreparedSource) -> Plan:
    """Everything that can be refused is refused here, before the long work starts."""
    own = recipe.with_precision(Precision.INT8) if recipe.precision is Precision.MIXED else recipe
    request = prepared.request(own)
    return Plan(converter, recipe.precision, request, converter.check(request))


def _make_all(plans: Sequence[Plan], work: Work) -> list[Manifest]:
    """In the order of ``plans``; made in another one, as ``mixed`` is timed against the fp32 files."""
    order = sorted(range(len(plans)), key=lambda index: plans[index].precision is Precision.MIXED)
    made = {index: _make(plans[index], work) for index in order}
    return [made[index] for index in range(len(plans))]


def _make(plan: Plan, work: Work) -> Manifest:
    file = staged(plan, work)

    def tell(step: str) -> None:
        work.prepared.check_reference()  # no stage of long work begins for a model that fails on a sample
        work.progress(f"{file.name}: {step}")

    manifest = _searched(plan, work, tell) if plan.searches else _judged(plan, work, tell)
    if plan.precision is Precision.MIXED:
        manifest = _with_pace(Artifact(file, manifest.backend, manifest), manifest, plan, work, tell)
        _recipe_path(work.stage, manifest).write_text(dump_recipe(manifest.recipe), "utf-8")
    _manifest_path(work.stage, manifest).write_bytes(dump_manifest(manifest))
    return manifest


def _judged(plan: Plan, work: Work, tell: Progress) -> Manifest:
    made = make(plan, work, tell)
    try:
        hold(made.file.name, made.measured, work.budget)
    except AccuracyError as error:
        raise AccuracyError(error.message, _advice(work.prepared) or error.hint) from error
    return manifest_of(plan, work, made)


def _advice(prepared: PreparedSource) -> str:
    """For a model that nothing can be held against, where the usual advice would lead astray."""
    from ashore.sources.eager import answers_twice_alike

    if answers_twice_alike(prepared.model, prepared.evaluation[0], prepared.outputs):
        return ""
    return (
        "PyTorch itself answers otherwise when it is asked again: take random numbers out of the model's forward, such "
        "as dropout(x) without training=self.training, and buffers that it changes"
    )


def _searched(plan: Plan, work: Work, tell: Progress) -> Manifest:
    found, choice, verdict = _chosen(plan, work, tell)
    if verdict.int8_instead:
        found, choice = plan, replace(choice, curve=choice.curve[:1])
    manifest = _judged(found, work, tell)
    return replace(manifest, mixed=choice.curve, warnings=(*manifest.warnings, *verdict.told))


def _chosen(plan: Plan, work: Work, tell: Progress) -> tuple[Plan, MixedChoice, Verdict]:
    """The first choice whose finished file keeps the budget too, or gives way to int8; else the last one."""
    last = None
    for choice in choose_mixed(plan.converter, plan.request, work.prepared, work.budget, work.eager, tell):
        request = replace(plan.request, recipe=replace(plan.request.recipe, layers=choice.rules))
        found = replace(plan, request=request)
        measured = make(found, work, tell).measured
        verdict = Verdict() if choice.is_int8 else _held_against_int8(measured, plan, work, tell)
        last = found, choice, verdict
        faults = measured.faults(work.budget)
        if verdict.int8_instead or not faults:
            break
        tell(f"the finished file comes to {faults[0]}: putting more in float")
    assert last is not None, "the search raises where nothing keeps the budget"
    return last


def _held_against_int8(mixed: Measured, plan: Plan, work: Work, tell: Progress) -> Verdict:
    tell("comparing with int8")

    def measure_int8() -> Measured:
        return make(replace(plan, precision=Precision.INT8), work, lambda _step: None).measured

    return held_against_int8(mixed, measure_int8, work.budget)


def _with_pace(artifact: Artifact, manifest: Manifest, plan: Plan, work: Work, tell: Progress) -> Manifest:
    tell("timing it against fp32")
    found = pace_warnings(artifact, lambda: _float_rival(plan, work), work.prepared.example)
    return replace(manifest, warnings=(*manifest.warnings, *found))


def _float_rival(plan: Plan, work: Work) -> Artifact:
    """The fp32 file that this call made, else one that is made for the stage alone, never published."""
    rival = replace(plan, precision=Precision.FP32, request=work.prepared.request(Recipe()))
    file = staged(rival, work)
    if file.is_file():
        return load_artifact(file)
    conversion = rival.converter.convert(rival.request, file, lambda _step: None)
    return Artifact(file, plan.converter.backend, describe(rival, work, conversion, file))


def _files(folder: Path, manifest: Manifest) -> tuple[Path, ...]:
    recipe = (_recipe_path(folder, manifest),) if manifest.precision is Precision.MIXED else ()
    return folder / manifest.file.name, folder / manifest.golden.name, *recipe, _manifest_path(folder, manifest)


def _recipe_path(folder: Path, manifest: Manifest) -> Path:
    return (folder / manifest.file.name).with_suffix(".toml")


def _manifest_path(folder: Path, manifest: Manifest) -> Path:
    return (folder / manifest.file.name).with_suffix(".json")
