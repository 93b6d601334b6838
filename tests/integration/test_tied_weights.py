"""A layer tied to an embedding costs its weight once on both backends, and answers as PyTorch does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import ashore
from ashore.types.artifact import Artifact
from compressed_models import Speller, tie

NUMBERS = Speller().letters.weight.numel()


def convert(folder: Path, precision: str, *, tied: bool, to: str) -> Artifact:
    model = Speller()
    source = ashore.ModelSource(tie(model) if tied else model, (torch.arange(8)[None] * 199,), "speller")
    (artifact,) = ashore.convert(source, to=[to], precisions=[precision], output=folder)
    assert artifact.manifest is not None
    return artifact


@pytest.mark.filterwarnings("ignore")  # torch and torchao warn of their own deprecations
@pytest.mark.parametrize(("precision", "item_bytes", "sqnr_db"), [("fp32", 4, 100), ("fp16", 2, 50)])
@pytest.mark.parametrize("to", ["executorch", "litert"])
def test_a_tied_weight_is_stored_once(tmp_path: Path, to: str, precision: str, item_bytes: int, sqnr_db: int) -> None:
    manifest = convert(tmp_path, precision, tied=True, to=to).manifest
    assert manifest is not None
    assert manifest.file.bytes < 1.2 * NUMBERS * item_bytes
    assert manifest.parity.sqnr_db >= sqnr_db


@pytest.mark.filterwarnings("ignore")  # torch and torchao warn of their own deprecations
def test_weights_of_their_own_stay_two(tmp_path: Path) -> None:
    artifact = convert(tmp_path, "fp32", tied=False, to="executorch")
    assert artifact.file.stat().st_size > 8 * NUMBERS


@pytest.mark.filterwarnings("ignore")  # torch and torchao warn of their own deprecations
def test_the_parts_of_a_file_with_a_shared_weight_make_up_the_file(tmp_path: Path) -> None:
    artifact = convert(tmp_path, "fp32", tied=True, to="executorch")
    parts = ashore.inspect(artifact.file).contents.bytes_by_part
    assert sum(parts.values()) == artifact.file.stat().st_size
    assert parts["constants"] == 4 * NUMBERS and parts["delegates' constants"] < 4 * NUMBERS
