"""One file of a conversion: what is asked of it, how it is made and measured, and its manifest."""

from __future__ import annotations

import hashlib
import platform
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ashore.interfaces import Converter, Progress
from ashore.pipeline.artifacts import deflated_bytes, file_sha256
from ashore.pipeline.judging import Measured, golden_path, measure
from ashore.types.artifact import Artifact
from ashore.types.budget import Budget
from ashore.types.conversion import Conversion, ConversionRequest
from ashore.types.manifest import CalibrationRecord, FileRecord, GoldenRecord, Manifest
from ashore.types.parity import Parity
from ashore.types.precision import Precision
from ashore.types.source import ModelSource
from ashore.types.tensor import Sample

if TYPE_CHECKING:
    from ashore.sources.prepare import PreparedSource


@dataclass(frozen=True)
class Plan:
    """One file to be made; ``request`` is the converter's, who knows ``mixed`` as int8 with rules."""

    converter: Converter
    precision: Precision
    request: ConversionRequest
    cautions: tuple[str, ...]

    @property
    def searches(self) -> bool:
        """Whether the layers that stay in float are still to be found."""
        return self.precision is Precision.MIXED and not self.request.recipe.layers

    def asks_the_same(self, other: Plan) -> bool:
        """Whether both come to the same file, be it under two names."""
        same_backend = self.converter.backend == other.converter.backend
        return same_backend and self.request.recipe == other.request.recipe


@dataclass(frozen=True)
class Made:
    """A finished file in the stage."""

    plan: Plan
    file: Path
    conversion: Conversion
    measured: Measured
    packed_bytes: int


@dataclass(frozen=True)
class Work:
    """What all files of one call share."""

    prepared: PreparedSource
    budget: Budget
    eager: Mapping[str, float] | None
    stage: Path
    progress: Progress
    made: dict[Path, Made] = field(default_factory=dict)


def staged(plan: Plan, work: Work) -> Path:
    name = f"{work.prepared.source.name}.{plan.converter.backend}.{plan.precision}{plan.converter.suffix}"
    return work.stage / name


def make(plan: Plan, work: Work, tell: Progress) -> Made:
    """The file that the plan asks for, measured; a copy where this call has made it under another name."""
    file = staged(plan, work)
    known = next((made for made in work.made.values() if made.plan.asks_the_same(plan)), None)
    made = _converted(plan, work, file, tell) if known is None else _copied(known, file)
    measured = made.measured.held_to(work.budget.floor_db(plan.precision))
    work.made[file] = replace(made, plan=plan, measured=measured)
    return work.made[file]


def _converted(plan: Plan, work: Work, file: Path, tell: Progress) -> Made:
    tell("converting")
    conversion = plan.converter.convert(plan.request, file, tell)
    draft = describe(plan, work, conversion, file)
    tell("comparing with PyTorch")
    with ThreadPoolExecutor(1) as beside:  # packing takes a second for 14 MB, and measuring mostly waits for the engine
        packed_bytes = beside.submit(deflated_bytes, file)
        measured = measure(Artifact(file, draft.backend, draft), draft.parity.floor_db, work.prepared, work.eager)
    return Made(plan, file, conversion, measured, packed_bytes.result())


def _copied(known: Made, file: Path) -> Made:
    if file == known.file:
        return known
    shutil.copyfile(known.file, file)
    shutil.copyfile(golden_path(known.file), golden_path(file))
    golden = replace(known.measured.golden, name=golden_path(file).name)
    return replace(known, file=file, measured=replace(known.measured, golden=golden))


def manifest_of(plan: Plan, work: Work, made: Made) -> Manifest:
    draft, measured = describe(plan, work, made.conversion, made.file), made.measured
    file = replace(draft.file, compressed_bytes=made.packed_bytes)
    return replace(draft, file=file, parity=measured.parity, golden=measured.golden, metrics=measured.metrics)


def describe(plan: Plan, work: Work, conversion: Conversion, file: Path) -> Manifest:
    """The manifest of a file that was not measured yet."""
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


def _warnings(plan: Plan, floor_db: float, source: ModelSource) -> Iterator[str]:
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
