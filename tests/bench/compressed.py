"""Compressed models against the ones they were made of, as files of both backends; writes docs/compressed.md too."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from effort import Effort
from files import BACKENDS, Files
from loaded import loaded
from tables import Row, Section, Target
from turns import Estimate, Turns, medians_in_turns

import ashore
from ashore import Artifact
from ashore.types.source import ModelSource

sys.path.insert(0, str(Path(__file__).parents[1]))

from compressed_models import ROWS, Compressed

_PAGE = Path(__file__).parents[2] / "docs" / "compressed.md"
_MARK = "<!-- by make bench SECTION=compressed -->\n"
_NO_SLOWER = Target("{:.2f}x", 1.05)
_HEAD = (
    "| model | backend, precision | file MB | packed MB | ms at 1 thread "
    "| SQNR, dB: of the compression | of the file |\n"
    "|---|---|---|---|---|---|---|\n"
)


@dataclass(frozen=True)
class _Measured:
    row: Compressed
    plain: Artifact
    compressed: Artifact
    turns: Turns
    compression_db: float
    """Of the compressed model in PyTorch against the one it was made of."""

    @property
    def ratio(self) -> Estimate:
        return self.turns.ratio("compressed", "plain")


def sections(files: Files, effort: Effort) -> list[Section]:
    """Also writes the page of the documentation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch and torchao warn of their own deprecations
        measured = [_measure(row, backend, files.folder, effort) for row in ROWS for backend in BACKENDS]
    _write_page(measured)
    rows = tuple(_row(each) for each in measured)
    return [
        Section("A compressed model's file against the uncompressed one's", ("ms", "plain fp32", "compressed"), rows)
    ]


def _measure(row: Compressed, backend: str, folder: Path, effort: Effort) -> _Measured:
    plain, compressed = row.sources()
    place = folder / row.title.replace(" ", "-")
    (before,) = ashore.convert(plain, to=[backend], output=place / "plain")
    (after,) = ashore.convert(compressed, to=[backend], precisions=[row.precision], output=place / "compressed")
    with loaded({"plain": before.file, "compressed": after.file}) as contenders:
        turns = medians_in_turns(contenders, effort.rounds)
    return _Measured(row, before, after, turns, _between(plain, compressed))


def _between(plain: ModelSource, compressed: ModelSource) -> float:
    """SQNR in dB of the compressed PyTorch model, on the evaluation samples."""
    from ashore.pipeline.parity import measure_parity
    from ashore.sources.prepare import prepare

    before, after = prepare(plain), prepare(compressed)
    values = [[next(iter(answer.values())) for answer in each.reference] for each in (before, after)]
    named = [[{"output": value} for value in each] for each in values]
    return measure_parity(named[0], named[1], floor_db=0.0).sqnr_db


def _row(each: _Measured) -> Row:
    shown = [f"{each.turns.median(name) / 1000:.3f}" for name in ("plain", "compressed")]
    subject = f"{each.row.title}, {each.compressed.backend} {each.row.precision}"
    return Row(subject, *shown, each.ratio, _NO_SLOWER)


def _write_page(measured: list[_Measured]) -> None:
    text = _PAGE.read_text("utf-8")
    before, _, rest = text.partition(_MARK)
    _, _, after = rest.partition(_MARK)
    lines = "".join(_line(each) for each in measured)
    _PAGE.write_text(f"{before}{_MARK}\n{_HEAD}{lines}\n{_MARK}{after}", "utf-8")


def _line(each: _Measured) -> str:
    plain, compressed = each.plain.manifest, each.compressed.manifest
    assert plain is not None and compressed is not None
    kept = f"{each.compression_db:.1f}" if each.compression_db < 200 else "identical"
    return (
        f"| {each.row.title} | {compressed.backend}, {compressed.precision} "
        f"| {_change(plain.file.bytes / 1e6, compressed.file.bytes / 1e6, 2)} "
        f"| {_change((plain.file.compressed_bytes or 0) / 1e6, (compressed.file.compressed_bytes or 0) / 1e6, 2)} "
        f"| {_change(each.turns.median('plain') / 1e3, each.turns.median('compressed') / 1e3, 3)} "
        f"| {kept} | {compressed.parity.sqnr_db:.1f} |\n"
    )


def _change(before: float, after: float, digits: int) -> str:
    return f"{before:.{digits}f} → {after:.{digits}f}"
