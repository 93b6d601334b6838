"""Whatever compression a model brings arrives on both backends: right, and smaller where it can be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

import ashore
from ashore import Artifact
from compressed_models import ROWS, Compressed

BACKENDS = ("executorch", "litert")

SIZES = {
    "pruned by half, masks live": 1.01,
    "pruned to a fifth, masks removed": 1.01,
    "pruned to a fifth, then int8": 0.27,
    "half the channels removed": 0.28,
    "half the channels removed, then int8": 0.15,
    "linear layers of an eighth of the rank": 0.26,
    "convolutions factorised": 0.6,
    "distilled into half the width": 0.36,
    "distilled into half the width, then int8": 0.1,
    "adapters of LoRA": 1.01,
    "tied to an embedding": 0.55,
    "torchao int8 weights": 0.27,
    "torchao int8 dynamic": 0.27,
    "torchao int4 weights": 0.17,
    "torchao 8da4w": 0.17,
    "PT2E, calibrated": 0.27,
    "PT2E, trained (QAT)": 0.27,
    "torch.ao dynamic, packed": 0.27,
    "ONNX float": 1.01,
    "ONNX QDQ": 0.27,
    "float16 checkpoint": 0.52,
    "bfloat16 checkpoint": 0.52,
}
"""The most that a file may have of the uncompressed model's fp32 file; without compression it would be 1."""


_LEAST_DB = {"torchao int4 weights": 38, "torchao 8da4w": 40}
"""Whoever rounds these weights anew comes to no more than 25."""


@dataclass(frozen=True)
class Pair:
    plain: Artifact
    compressed: Artifact


@pytest.fixture(scope="module")
def plain_files() -> dict[tuple[str, str], Artifact]:
    """By the name of the uncompressed model and backend: made once for all rows."""
    return {}


def _pair(row: Compressed, backend: str, made: dict[tuple[str, str], Artifact], folder: Path) -> Pair:
    plain, compressed = row.sources()
    key = row.plain.__name__, backend
    if key not in made:
        (made[key],) = ashore.convert(plain, to=[backend], output=folder / "plain")
    (artifact,) = ashore.convert(compressed, to=[backend], precisions=[row.precision], output=folder / "compressed")
    return Pair(made[key], artifact)


@pytest.mark.filterwarnings("ignore")  # torch and torchao warn of their own deprecations
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.title)
def test_it_arrives_right_and_as_small_as_it_can_be(
    row: Compressed,
    backend: str,
    plain_files: dict[tuple[str, str], Artifact],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    pair = _pair(row, backend, plain_files, tmp_path_factory.mktemp("compressed"))
    plain, compressed = pair.plain.manifest, pair.compressed.manifest
    assert plain is not None and compressed is not None
    assert compressed.parity.sqnr_db >= _LEAST_DB.get(row.title, 25)
    assert compressed.file.bytes <= SIZES[row.title] * plain.file.bytes
    assert ashore.verify(pair.compressed).passed
    if "pruned" in row.title:
        assert any("of the weights are zero" in said for said in compressed.warnings)
        assert compressed.file.compressed_bytes is not None and plain.file.compressed_bytes is not None
        assert compressed.file.compressed_bytes < 0.75 * plain.file.compressed_bytes
