"""Dimensions of LiteRT files that are chosen at run time, and those that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import ashore
from ashore import DynamicDim, Manifest, ModelSource, UnsupportedModel
from conversions import to_litert


def converted(source: ModelSource, precision: str, folder: Path) -> Manifest:
    manifest = to_litert(source, precision, folder).manifest
    assert manifest is not None
    return manifest


class Convolves(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
        self.head = nn.Linear(8 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).flatten(1))


def batches(*sizes: int) -> list[tuple[Tensor]]:
    generator = torch.Generator().manual_seed(4)
    return [(torch.randn(size, 3, 8, 8, generator=generator),) for size in sizes]


@pytest.mark.parametrize(("precision", "floor_db"), [("fp32", 100), ("int8", 25), ("int8-dynamic", 30)])
def test_a_batch_of_any_size(tmp_path: Path, precision: str, floor_db: float) -> None:
    dims = {"x": {0: DynamicDim("batch", 1, 6)}}
    shown = batches(2, 1, 6, 3, 5)
    source = ModelSource(Convolves(), shown[0], "net", dims, calibration=batches(2, 2, 4, 1), evaluation=shown)
    manifest = converted(source, precision, tmp_path)
    assert manifest.parity.sqnr_db > floor_db
    assert manifest.delegation.share == 1.0
    (given,) = ashore.inspect(tmp_path / manifest.file.name).contents.inputs
    assert (given.shape, set(given.dynamic)) == ((2, 3, 8, 8), {0})


class FullyConvolutional(nn.Module):
    """Height and width both vary, and go into a slice and a reshape."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)[:, :, 1:, 1:].relu()


def test_two_dimensions_at_once(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(4)
    # Much larger at the end: what the library says of the outputs' shape before a run is that of the run before.
    shown = [(torch.randn(1, 3, *size, generator=generator),) for size in ((8, 8), (4, 9), (12, 5), (4, 4), (64, 64))]
    dims = {"x": {2: DynamicDim("rows", 4, 64), 3: DynamicDim("columns", 4, 64)}}
    source = ModelSource(FullyConvolutional(), shown[0], "net", dims, evaluation=shown)
    assert converted(source, "fp32", tmp_path).parity.sqnr_db > 100


class Positions(nn.Module):
    """Adds a table that is computed for one length."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.embed(x) + torch.arange(x.shape[1])[:, None].float().sin()


def test_a_table_of_one_length_is_refused_with_its_place_and_the_way_out(tmp_path: Path) -> None:
    dims = {"x": {1: DynamicDim("length", 2, 20)}}
    shown = [(torch.randn(1, size, 4),) for size in (8, 5)]
    with pytest.raises(UnsupportedModel) as raised:
        converted(ModelSource(Positions(), shown[0], "net", dims, evaluation=shown), "fp32", tmp_path)
    assert "dimension 'length' cannot vary in a LiteRT file" in raised.value.message
    assert "ADD there holds a constant computed from its size" in raised.value.message
    assert "pad shorter inputs" in raised.value.hint


class Branching(nn.Module):
    """Computes something else for long inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        made = self.layer(x)
        return made.tanh() if x.shape[0] > 5 else made


def test_a_computation_that_depends_on_the_size_is_refused(tmp_path: Path) -> None:
    shown = [(torch.randn(size, 4),) for size in (4, 8)]
    source = ModelSource(Branching(), shown[0], "net", {"x": {0: DynamicDim("batch", 1, 16)}}, evaluation=shown)
    with pytest.raises(UnsupportedModel, match="the operators themselves depend on it"):
        converted(source, "fp32", tmp_path)
