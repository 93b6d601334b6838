"""From a source to published artifacts: prepare, convert, judge, publish."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ashore import registry
from ashore.errors import UsageError
from ashore.interfaces import Converter, Progress
from ashore.pipeline.artifacts import deflated_bytes, file_sha256, load_artifact
from ashore.pipeline.judging import judge
from ashore.pipeline.manifests import dump_manifest
from ashore.pipeline.metrics import eager_metrics
from ashore.pipeline.mixed import choose_mixed
from ashore.pipeline.pace import pace_warnings
from ashore.pipeline.publishing import publish, staging
from ashore.pipeline.recipes import dump_recipe
from ashore.pipeline.rivalry import held_against_int8
from ashore.sources import load_source
from ashore.types.artifact import Artifact
from ashore.types.budget import Budget
from ashore.types.conversion import Conversion, ConversionRequest
from ashore.types.manifest import CalibrationRecord, FileRecord, GoldenRecord, Manifest
from ashore.types.parity import Parity
from ashore.types.precision import Precision
from ashore.types.recipe import Recipe
from ashore.types.source import ModelSource
from ashore.types.tensor import Sample

if TYPE_CHECKING:
    from ashore.sources.prepare import PreparedSource

DEFAULT_BACKENDS = ("executorch", "litert")
_NAME_BYTES = 200
"""File systems take 255, and backend, precision and ending follow the name."""


@dataclass(frozen=True)
class _Plan:
    """One file to be made; ``request`` is the converter's, who knows ``mixed`` as int8 with rules."""

    converter: Converter
    precision: Precision
    request: ConversionRequest
    cautions: tuple[str, ...]

    @property
    def searches(self) -> bool:
        """Whether the layers that stay in float are still to be found."""
        return self.precision is Precision.MIXED and not self.request.recipe.layers


@dataclass(frozen=True)
class _Work:
    """What all files of one call share."""

    prepared: PreparedSource
    budget: Budget
    eager: Mapping[str, float] | None
    stage: Path
    progress: Progress


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

    recipe = recipe or Recipe()
    words = dict.fromkeys([recipe.precision.value] if precisions is None else precisions)
    recipes = [recipe.with_precision(_precision(word)) for word in words]
    converters = [registry.get_converter(backend) for backend in dict.fromkeys(to)]
    budget = Budget(min_sqnr_db, max_top1_drop, max_metric_drop or {})
    if not recipes or not converters:
        raise UsageError("nothing to convert to: no backend or no precision", "give at least one of each")
    source = load_source(source) if isinstance(source, str) else source
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
            work = _Work(prepared, budget, eager, stage, progress)
            manifests = _make_all(plans, work)
        publish([file for manifest in manifests for file in _files(stage, manifest)], output)
    return [Artifact(output / manifest.file.name, manifest.backend, manifest) for manifest in manifests]


def _precision(word: str) -> Precision:
    try:
        return Precision(word)
    except ValueError:
        raise UsageError(f"there is no precision {word!r}", f"known: {', '.join(Precision)}") from None


def _checked_name(name: str) -> str:
    if not name.isprintable() or not name.strip(". ") or set(name) & set("/\\:") or len(name.encode()) > _NAME_BYTES:
        raise UsageError(f"{name!r} cannot be the stem of a file", "give a plain name with --name")
    return name


def _plan(converter: Converter, recipe: Recipe, prepared: PreparedSource) -> _Plan:
    """Everything that can be refused is refused here, before the long work starts."""
    own = recipe.with_precision(Precision.INT8) if recipe.precision is Precision.MIXED else recipe
    request = prepared.request(own)
    return _Plan(converter, recipe.precision, request, converter.check(request))


def _make_all(plans: Sequence[_Plan], work: _Work) -> list[Manifest]:
    """In the order of ``plans``; made in another one, as ``mixed`` is timed against the fp32 files."""
    order = sorted(range(len(plans)), key=lambda index: plans[index].precision is Precision.MIXED)
    made = {index: _make(plans[index], work) for index in order}
    return [made[index] for index in range(len(plans))]


def _make(plan: _Plan, work: _Work) -> Manifest:
    file = _staged(plan, plan.precision, work)

    def tell(step: str) -> None:
        work.prepared.check_reference()  # no stage of long work begins for a model that fails on a sample
        work.progress(f"{file.name}: {step}")

    manifest = _searched(plan, work, tell) if plan.searches else _judged(plan, work, tell)
    if plan.precision is Precision.MIXED:
        manifest = _with_pace(Artifact(file, manifest.backend, manifest), manifest, plan, work, tell)
        _recipe_path(work.stage, manifest).write_text(dump_recipe(manifest.recipe), "utf-8")
    _manifest_path(work.stage, manifest).write_bytes(dump_manifest(manifest))
    return manifest


def _judged(plan: _Plan, work: _Work, tell: Progress) -> Manifest:
    file = _staged(plan, plan.precision, work)
    tell("converting")
    conversion = plan.converter.convert(plan.request, file, tell)
    draft = _describe(plan, work, conversion, file)
    tell("comparing with PyTorch")
    with ThreadPoolExecutor(1) as beside:  # packing takes a second for 14 MB, and the judge mostly waits for the engine
        packed_bytes = beside.submit(deflated_bytes, file)
        judged = judge(Artifact(file, draft.backend, draft), draft, work.prepared, work.budget, work.eager)
    return replace(judged, file=replace(judged.file, compressed_bytes=packed_bytes.result()))


def _searched(plan: _Plan, work: _Work, tell: Progress) -> Manifest:
    choice = choose_mixed(plan.converter, plan.request, work.prepared, work.budget, work.eager, tell)
    request = replace(plan.request, recipe=replace(plan.request.recipe, layers=choice.rules))
    manifest = replace(_judged(replace(plan, request=request), work, tell), mixed=choice.curve)
    return manifest if choice.is_int8 else _no_worse_than_int8(manifest, plan, work, tell)


def _no_worse_than_int8(mixed: Manifest, plan: _Plan, work: _Work, tell: Progress) -> Manifest:
    tell("comparing with int8")

    def make_int8() -> Artifact:
        return _rival(plan, Precision.INT8, plan.request, work)

    verdict = held_against_int8(mixed, make_int8, work.prepared, work.budget, work.eager)
    if verdict.int8_instead:
        _staged(plan, plan.precision, work).unlink()
        mixed = replace(_judged(plan, work, tell), mixed=mixed.mixed[:1] if mixed.mixed else None)
    return replace(mixed, warnings=(*mixed.warnings, *verdict.told))


def _staged(plan: _Plan, precision: Precision, work: _Work) -> Path:
    return work.stage / f"{work.prepared.source.name}.{plan.converter.backend}.{precision}{plan.converter.suffix}"


def _with_pace(artifact: Artifact, manifest: Manifest, plan: _Plan, work: _Work, tell: Progress) -> Manifest:
    tell("timing it against fp32")
    request = work.prepared.request(Recipe())
    found = pace_warnings(artifact, lambda: _rival(plan, Precision.FP32, request, work), work.prepared.example)
    return replace(manifest, warnings=(*manifest.warnings, *found))


def _rival(plan: _Plan, precision: Precision, request: ConversionRequest, work: _Work) -> Artifact:
    """The file of this precision that this call made, else one that is made for the stage alone, never published."""
    file = _staged(plan, precision, work)
    if file.is_file():
        return load_artifact(file)
    rival = replace(plan, precision=precision, request=request)
    conversion = plan.converter.convert(request, file, lambda _step: None)
    return Artifact(file, plan.converter.backend, _describe(rival, work, conversion, file))


def _describe(plan: _Plan, work: _Work, conversion: Conversion, file: Path) -> Manifest:
    """The manifest of a file that was not judged yet."""
    from ashore import __version__

    prepared, calibration = work.prepared, plan.request.calibration
    source, floor_db = prepared.source, work.budget.floor_db(plan.precision)
    return Manifest(
        name=source.name,
        backend=plan.converter.backend,
        delegate=conversion.delegate,
        precision=plan.precision,
        recipe=conversion.recipe.with_precision(plan.precision),
        file=FileRecord(file.name, file_sha256(file), file.stat().st_size),
        golden=GoldenRecord("", "", 0),
        inputs=conversion.inputs,
        outputs=conversion.outputs,
        source=prepared.record,
        versions={"ashore": __version__, "python": platform.python_version(), **conversion.versions},
        delegation=conversion.delegation,
        parity=Parity.unmeasured(floor_db),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        preprocess=source.preprocess,
        labels=source.labels,
        calibration=CalibrationRecord(len(calibration), _samples_sha256(calibration)) if calibration else None,
        layers=conversion.layers or None,
        warnings=(*prepared.warnings, *_warnings(plan, floor_db, source), *plan.cautions, *conversion.warnings),
    )


def _warnings(plan: _Plan, floor_db: float, source: ModelSource) -> Iterator[str]:
    if plan.request.calibration and source.calibration == "random":
        yield "calibrated on random inputs: accuracy on real ones is unknown"
    usual = plan.precision.default_floor_db
    if floor_db != usual:
        yield f"judged by a floor of {floor_db:g} dB, asked for in place of {usual:g} dB"


def _samples_sha256(samples: tuple[Sample, ...]) -> str:
    digest = hashlib.sha256()
    for sample in samples:
        for name, array in sample.items():
            digest.update(f"{name}:{array.dtype}:{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def _files(folder: Path, manifest: Manifest) -> tuple[Path, ...]:
    recipe = (_recipe_path(folder, manifest),) if manifest.precision is Precision.MIXED else ()
    return folder / manifest.file.name, folder / manifest.golden.name, *recipe, _manifest_path(folder, manifest)


def _recipe_path(folder: Path, manifest: Manifest) -> Path:
    return (folder / manifest.file.name).with_suffix(".toml")


def _manifest_path(folder: Path, manifest: Manifest) -> Path:
    return (folder / manifest.file.name).with_suffix(".json")
