"""From a source to published artifacts: prepare, convert, judge, publish."""

from __future__ import annotations

import hashlib
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ashore import registry
from ashore.errors import AccuracyError, UsageError
from ashore.interfaces import Converter, Progress
from ashore.pipeline.artifacts import file_sha256
from ashore.pipeline.edges import run_real
from ashore.pipeline.golden import save_golden
from ashore.pipeline.manifests import dump_manifest
from ashore.pipeline.parity import measure_parity
from ashore.pipeline.publishing import publish, staging
from ashore.sources import load_source
from ashore.types.artifact import Artifact
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
_GOLDEN_SAMPLES = 8
_NAME_BYTES = 200
"""File systems take 255, and backend, precision and ending follow the name."""


@dataclass(frozen=True)
class _Plan:
    """One file to be made."""

    converter: Converter
    request: ConversionRequest
    cautions: tuple[str, ...]


def convert(
    source: str | ModelSource,
    *,
    to: Sequence[str] = DEFAULT_BACKENDS,
    precisions: Sequence[str] | None = None,
    recipe: Recipe | None = None,
    output: Path | str | None = None,
    name: str | None = None,
    min_sqnr_db: float | None = None,
    progress: Progress = lambda _stage: None,
) -> list[Artifact]:
    """Convert a model to each backend in each precision, judge every file on held-back samples, publish all or none.

    Args:
        source: a ModelSource, or what names one (``file.py:name``, ``pkg.mod:name``, ``file.pt2``, ``hf:DIR``).
        to: backends.
        precisions: words of ``Precision``; by default the recipe's own.
        recipe: layer rules and settings; by default none but the precision.
        output: folder of the files, made if missing; by default ``./<name>``.
        name: stem of the files; by default the source's.
        min_sqnr_db: floor in dB instead of the precision's default.
        progress: told each stage as it begins.

    Raises:
        UsageError: the call or the source is wrong.
        ConversionError: a backend cannot convert the model.
        AccuracyError: a file came out below its floor. In every case nothing is published.
    """
    from ashore.sources.prepare import prepare

    recipe = recipe or Recipe()
    words = dict.fromkeys([recipe.precision.value] if precisions is None else precisions)
    recipes = [recipe.with_precision(_precision(word)) for word in words]
    converters = [registry.get_converter(backend) for backend in dict.fromkeys(to)]
    if min_sqnr_db is not None and math.isnan(min_sqnr_db):
        raise UsageError("the floor asked for is not a number", "give decibels, such as --min-sqnr 12")
    if not recipes or not converters:
        raise UsageError("nothing to convert to: no backend or no precision", "give at least one of each")
    source = load_source(source) if isinstance(source, str) else source
    name = _checked_name(source.name if name is None else name)
    progress(f"running {name} in PyTorch")
    prepared = prepare(replace(source, name=name))
    output = Path(output or name)
    with staging(output) as stage:
        plans = [_plan(converter, prepared.request(each)) for each in recipes for converter in converters]
        # Before the long work: a sample that the model does not take is found here.
        progress(f"{len(prepared.reference)} evaluation samples answered by PyTorch")
        manifests = [_make(plan, prepared, stage, min_sqnr_db, progress) for plan in plans]
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


def _plan(converter: Converter, request: ConversionRequest) -> _Plan:
    """Everything that can be refused is refused here, before the long work starts."""
    return _Plan(converter, request, converter.check(request))


def _make(
    plan: _Plan, prepared: PreparedSource, stage: Path, min_sqnr_db: float | None, progress: Progress
) -> Manifest:
    precision = plan.request.recipe.precision
    file = stage / f"{prepared.source.name}.{plan.converter.backend}.{precision}{plan.converter.suffix}"
    progress(f"{file.name}: converting")
    conversion = plan.converter.convert(plan.request, file, lambda step: progress(f"{file.name}: {step}"))
    floor_db = precision.default_floor_db if min_sqnr_db is None else min_sqnr_db
    draft = _describe(plan, prepared, conversion, file, floor_db)
    progress(f"{file.name}: comparing with PyTorch")
    converted = _run_on_host(Artifact(file, draft.backend, draft), prepared)
    parity = _judge(file.name, prepared, converted, floor_db)
    manifest = replace(draft, parity=parity, golden=_write_golden(file, prepared, converted))
    _manifest_path(stage, manifest).write_bytes(dump_manifest(manifest))
    return manifest


def _run_on_host(artifact: Artifact, prepared: PreparedSource) -> tuple[Sample, ...]:
    """The finished file's outputs on the evaluation samples."""
    with registry.get_target("host").open(artifact, threads=os.cpu_count() or 1) as session:
        return tuple(run_real(session, sample) for sample in prepared.evaluation)


def _judge(title: str, prepared: PreparedSource, converted: tuple[Sample, ...], floor_db: float) -> Parity:
    """Raises AccuracyError where all samples, or the golden ones by themselves, fall below the floor."""
    reference, labels = prepared.reference, prepared.source.labels
    parity = measure_parity(reference, converted, floor_db=floor_db, labels=labels)
    golden = _golden_indices(len(reference))
    part = measure_parity([reference[i] for i in golden], [converted[i] for i in golden], floor_db=floor_db)
    for measured in (parity, part):
        if not measured.passed:
            raise AccuracyError(_below_floor(title, measured), _ADVICE)
    return parity


_ADVICE = (
    "calibrate on samples like the ones it will meet, keep the sensitive layers in float with a recipe, take another "
    "precision, or lower the floor knowingly with --min-sqnr"
)


def _below_floor(title: str, parity: Parity) -> str:
    worst = parity.worst
    if parity.nan or parity.inf:
        return f"{title} gives {parity.nan} NaN and {parity.inf} infinite values where PyTorch gives none"
    return (
        f"{title} differs too much from PyTorch: {worst.sqnr_db:.1f} dB SQNR on output {worst.name!r} over "
        f"{parity.samples} samples, the floor is {parity.floor_db:g} dB; nothing was published"
    )


def _golden_indices(count: int) -> list[int]:
    """Evenly spread over the evaluation samples."""
    kept = min(count, _GOLDEN_SAMPLES)
    return [index * count // kept for index in range(kept)]


def _write_golden(file: Path, prepared: PreparedSource, converted: tuple[Sample, ...]) -> GoldenRecord:
    path = file.with_suffix(".golden.npz")
    chosen = _golden_indices(len(converted))
    samples = [[part[i] for i in chosen] for part in (prepared.evaluation, prepared.reference, converted)]
    save_golden(path, *samples)
    return GoldenRecord(path.name, file_sha256(path), len(chosen))


def _describe(plan: _Plan, prepared: PreparedSource, conversion: Conversion, file: Path, floor_db: float) -> Manifest:
    """The manifest of a file that was not judged yet."""
    from ashore import __version__

    source, calibration = prepared.source, plan.request.calibration
    return Manifest(
        name=source.name,
        backend=plan.converter.backend,
        delegate=conversion.delegate,
        precision=plan.request.recipe.precision,
        recipe=conversion.recipe,
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
        warnings=(*prepared.warnings, *_floor_warning(plan, floor_db), *plan.cautions, *conversion.warnings),
    )


def _floor_warning(plan: _Plan, floor_db: float) -> tuple[str, ...]:
    precision = plan.request.recipe.precision
    if floor_db == precision.default_floor_db:
        return ()
    return (f"judged by a floor of {floor_db:g} dB, asked for in place of {precision.default_floor_db:g} dB",)


def _samples_sha256(samples: tuple[Sample, ...]) -> str:
    digest = hashlib.sha256()
    for sample in samples:
        for name, array in sample.items():
            digest.update(f"{name}:{array.dtype}:{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def _files(folder: Path, manifest: Manifest) -> tuple[Path, Path, Path]:
    return folder / manifest.file.name, folder / manifest.golden.name, _manifest_path(folder, manifest)


def _manifest_path(folder: Path, manifest: Manifest) -> Path:
    return (folder / manifest.file.name).with_suffix(".json")
