"""Results as JSON fields and as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ashore.cli.terminal import Terminal
from ashore.pipeline.inspection import Inspection
from ashore.pipeline.manifests import manifest_fields
from ashore.pipeline.verify import Verification
from ashore.sources.samples import spec_text
from ashore.types.artifact import Artifact
from ashore.types.conversion import Delegation
from ashore.types.metrics import Metric
from ashore.types.parity import Parity
from ashore.types.target import TargetInfo

_PARITY_COLUMNS = ("SQNR dB", "cosine", "top-1 %", "sure %")


def artifact_fields(artifact: Artifact) -> dict[str, Any]:
    fields: dict[str, Any] = {"path": str(artifact.file), "backend": artifact.backend}
    return fields | ({"manifest": manifest_fields(artifact.manifest)} if artifact.manifest else {})


def show_artifacts(terminal: Terminal, artifacts: Sequence[Artifact]) -> None:
    rows = []
    for artifact in artifacts:
        assert artifact.manifest is not None
        manifest = artifact.manifest
        for warning in manifest.warnings:
            terminal.show_warning(f"{artifact.file.name}: {warning}")
        figures = _parity_cells(manifest.parity.top1_agreement, manifest.parity.top1_agreement_sure)
        accuracy = (f"{manifest.parity.sqnr_db:.1f}", f"{manifest.parity.cosine:.4f}", *figures)
        packed = manifest.file.compressed_bytes
        sizes = (_megabytes(manifest.file.bytes), "" if packed is None else _megabytes(packed))
        rows.append((str(artifact.file), *sizes, *accuracy, _delegation(manifest.delegation)))
    columns = ("file", "MB", "MB packed", *_PARITY_COLUMNS, "in delegate")
    terminal.show_table("verified against PyTorch", columns, rows)
    show_metrics(terminal, [(a.file.name, a.manifest.metrics) for a in artifacts if a.manifest])
    for artifact in artifacts:
        show_curve(terminal, artifact)


def show_metrics(terminal: Terminal, files: Sequence[tuple[str, Mapping[str, Metric] | None]]) -> None:
    """What the source's own ``evaluate`` found, if there is one."""
    found = [(file, name, metric) for file, metrics in files for name, metric in (metrics or {}).items()]
    if found:
        rows = [(file, name, f"{m.eager:.4g}", f"{m.file:.4g}", f"{m.drop:.3g}") for file, name, m in found]
        terminal.show_table("evaluate, as the source defines it", ("file", "metric", "PyTorch", "file's", "drop"), rows)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def show_curve(terminal: Terminal, artifact: Artifact) -> None:
    """How ``mixed`` got there, if it searched."""
    if artifact.manifest is None or not artifact.manifest.mixed:
        return
    rows = [
        (
            step.kept or "(int8)",
            f"{step.sqnr_db:.1f}",
            _percent(step.top1_agreement),
            _percent(step.float_multiplications),
            _percent(step.float_weights),
        )
        for step in artifact.manifest.mixed
    ]
    columns = ("put in float", "SQNR dB", "top-1", "multiplications in float", "weights in float")
    terminal.show_table(f"{artifact.file.name}: the way to the budget, on calibration samples", columns, rows)


def verification_fields(verification: Verification) -> dict[str, Any]:
    return {
        "path": str(verification.artifact.file),
        "target": verification.target,
        "passed": verification.passed,
        "identical": verification.identical,
        "largest_change": verification.largest_change,
        "parity": asdict(verification.parity),
    } | ({"metrics": metrics_fields(verification.metrics)} if verification.metrics else {})


def metrics_fields(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    return {name: asdict(metric) for name, metric in metrics.items()}


def show_verifications(terminal: Terminal, verifications: Sequence[Verification]) -> None:
    rows = []
    for each in verifications:
        parity = each.parity
        verdict = "passed" if each.passed else f"FAILED: {_fault(parity)}"
        same = "bit-identical" if each.identical else f"differs by up to {each.largest_change:.1e}"
        rows.append(
            (each.artifact.file.name, f"{parity.sqnr_db:.1f}", f"{parity.cosine:.4f}", each.target, same, verdict)
        )
    columns = ("file", "SQNR dB", "cosine", "target", "against the conversion", "verdict")
    terminal.show_table("golden samples against PyTorch", columns, rows)
    show_metrics(terminal, [(f"{each.artifact.file.name} on {each.target}", each.metrics) for each in verifications])


def _fault(parity: Parity) -> str:
    if parity.nan or parity.inf:
        return f"{parity.nan} NaN, {parity.inf} infinite"
    return f"below {parity.floor_db:g} dB"


def inspection_fields(inspection: Inspection) -> dict[str, Any]:
    contents = asdict(inspection.contents)
    return artifact_fields(inspection.artifact) | {"bytes": inspection.bytes, "contents": contents}


def show_inspection(terminal: Terminal, inspection: Inspection) -> None:
    artifact, contents = inspection.artifact, inspection.contents
    terminal.show_text(f"{artifact.file}  {_megabytes(inspection.bytes)} MB  {artifact.backend}")
    manifest = artifact.manifest
    if manifest is None:
        terminal.show_text("no manifest: ashore did not make this file, or the manifest was left behind")
    else:
        made = ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
        terminal.show_text(f"{manifest.name} in {manifest.precision}, {manifest.created}, with {made}")
        terminal.show_text(f"SQNR {manifest.parity.sqnr_db:.1f} dB over {manifest.parity.samples} samples")
        for warning in manifest.warnings:
            terminal.show_text(f"note: {warning}")
        show_metrics(terminal, [(artifact.file.name, manifest.metrics)])
        show_curve(terminal, artifact)
    inputs = manifest.inputs if manifest else contents.inputs
    outputs = manifest.outputs if manifest else contents.outputs
    tensors = [("input", spec) for spec in inputs] + [("output", spec) for spec in outputs]
    rows = [(spec.name, kind, spec_text(spec), spec.dtype, spec.layout or "-") for kind, spec in tensors]
    terminal.show_table("tensors", ("name", "", "shape", "dtype", "layout"), rows)
    ops = sorted(contents.ops.items(), key=lambda item: -item[1])
    terminal.show_table(
        f"operators, {_delegation(contents.delegation)} in the delegate", ("operator", "count"), _text(ops)
    )
    terminal.show_table("size by part", ("part", "bytes"), _text(contents.bytes_by_part.items()))


def target_fields(info: TargetInfo) -> dict[str, Any]:
    return asdict(info) | {"ready": info.ready}


def show_targets(terminal: Terminal, found: Sequence[TargetInfo]) -> None:
    rows = []
    for info in found:
        memory = f"{info.memory_bytes / 2**30:.1f} GiB" if info.memory_bytes else "-"
        state = "ready" if info.ready else f"not ready: {info.problem}"
        cells = (info.id, info.kind.value, info.cpu, str(info.cores or "-"), memory, info.abi, info.os)
        rows.append((*cells, ", ".join(info.backends), info.runner or "-", state))
    columns = ("target", "kind", "CPU", "cores", "memory", "ABI", "OS", "runs", "runner", "state")
    terminal.show_table("targets", columns, rows)
    for info in found:
        for note in info.notes:
            terminal.show_text(f"{info.id}: {note}")


def _parity_cells(*shares: float | None) -> tuple[str, ...]:
    return tuple("-" if share is None else f"{100 * share:.1f}" for share in shares)


def _delegation(delegation: Delegation) -> str:
    parts = "1 partition" if delegation.partitions == 1 else f"{delegation.partitions} partitions"
    return f"{delegation.delegated}/{delegation.total} operators, {parts}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.2f}"


def _text(rows: Any) -> list[tuple[str, str]]:
    return [(str(name), str(count)) for name, count in rows]
