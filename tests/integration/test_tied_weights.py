"""A layer tied to an embedding costs its weight once on both backends, and answers as PyTorch does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import ashore
from ashore.types.artifact import Artifact

ROWS, WIDTH = 2000, 64
WEIGHT_BYTES = ROWS * WIDTH * 4


class Speller(torch.nn.Module):
    """Letters in, letters out."""

    def __init__(self, *, tied: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.letters = torch.nn.Embedding(ROWS, WIDTH)
        self.mixed = torch.nn.Linear(WIDTH, WIDTH)
        self.spoken = torch.nn.Linear(WIDTH, ROWS, bias=False)
        if tied:
            self.spoken.weight = self.letters.weight

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        spoken: torch.Tensor = self.spoken(torch.relu(self.mixed(self.letters(letters))))
        return spoken


def convert(folder: Path, precision: str, *, tied: bool, to: str) -> Artifact:
    source = ashore.ModelSource(Speller(tied=tied), (torch.arange(8)[None] * 199,), "speller")
    (artifact,) = ashore.convert(source, to=[to], precisions=[precision], output=folder)
    assert artifact.manifest is not None
    return artifact


@pytest.mark.filterwarnings("ignore")  # torch and torchao warn of their own deprecations
@pytest.mark.parametrize(("precision", "item_bytes", "sqnr_db"), [("fp32", 4, 100), ("fp16", 2, 50)])
@pytest.mark.parametrize("to", ["executorch", "litert"])
def test_a_tied_weight_is_stored_once(tmp_path: Path, to: str, precision: str, item_bytes: int, sqnr_db: int) -> None:
    manifest = convert(tmp_path, precision, tied=True, to=to).manifest
    assert manifest is not None
    assert manifest.file.bytes < 1.2 * ROWS * WIDTH * item_bytes
    assert manifest.parity.sqnr_db >= sqnr_db


@pytest.mark.filterwarnings("ignore")  # torch and torchao warn of their own deprecations
def test_weights_of_their_own_stay_two(tmp_path: Path) -> None:
    artifact = convert(tmp_path, "fp32", tied=False, to="executorch")
    assert artifact.file.stat().st_size > 2 * WEIGHT_BYTES


@pytest.mark.filterwarnings("ignore")  # torch and torchao warn of their own deprecations
def test_the_parts_of_a_file_with_a_shared_weight_make_up_the_file(tmp_path: Path) -> None:
    artifact = convert(tmp_path, "fp32", tied=True, to="executorch")
    parts = ashore.inspect(artifact.file).contents.bytes_by_part
    assert sum(parts.values()) == artifact.file.stat().st_size
    assert parts["constants"] == WEIGHT_BYTES and parts["delegates' constants"] < WEIGHT_BYTES
