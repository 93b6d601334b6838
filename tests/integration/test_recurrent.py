"""LSTM and GRU: loops over time, with int8 weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import ashore
from ashore import Artifact, DynamicDim, LayerRule, ModelSource, Precision, Recipe

_STEPS = 64


class Recurrent(nn.Module):
    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(layer.hidden_size * (2 if layer.bidirectional else 1), 4)

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, Tensor]:
        start = None if not state else state if isinstance(self.layer, nn.LSTM) else state[0]
        made, last = self.layer(x, start)
        return self.head(made), last[1] if isinstance(self.layer, nn.LSTM) else last


def source(layer: nn.RNNBase, *shapes: tuple[int, ...]) -> ModelSource:
    torch.manual_seed(0)
    drawn = [tuple(torch.randn(shape) for shape in shapes) for _ in range(6)]
    return ModelSource(Recurrent(layer).eval(), drawn[0], "net", calibration=drawn[:4], evaluation=drawn[4:])


def made(source: ModelSource, folder: Path, *precisions: str, to: str = "executorch") -> list[Artifact]:
    return ashore.convert(source, to=[to], precisions=precisions, output=folder)


def operators(artifact: Artifact) -> int:
    assert artifact.manifest is not None
    return artifact.manifest.delegation.total


def sqnr_db(artifact: Artifact) -> float:
    assert artifact.manifest is not None
    return artifact.manifest.parity.sqnr_db


@pytest.mark.parametrize("to", ["executorch", "litert"])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_a_file_does_not_grow_with_the_sequence(kind: type[nn.RNNBase], to: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = kind(64, 128, batch_first=True)
    short = made(source(layer, (1, 8, 64)), tmp_path / "short", "fp32", to=to)[0]
    fp32, int8 = made(source(layer, (1, _STEPS, 64)), tmp_path / "long", "fp32", "int8-dynamic", to=to)
    assert operators(short) == operators(fp32) < 60
    assert int8.file.stat().st_size < 0.4 * fp32.file.stat().st_size
    assert sqnr_db(fp32) > (90 if to == "executorch" else 100)
    assert sqnr_db(int8) > 25


@pytest.mark.parametrize(("to", "precision"), [("executorch", "fp32"), ("executorch", "int8"), ("litert", "int8")])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_stacked_and_bidirectional_layers_with_states_given(
    kind: type[nn.RNNBase], to: str, precision: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    layer = kind(16, 32, num_layers=2, bidirectional=True, bias=precision == "fp32")
    states = ((4, 2, 32), (4, 2, 32))[: 2 if kind is nn.LSTM else 1]
    artifact = made(source(layer, (12, 2, 16), *states), tmp_path, precision, to=to)[0]
    assert sqnr_db(artifact) > (90 if precision == "fp32" else 20)


@pytest.mark.parametrize("to", ["executorch", "litert"])
def test_a_layer_that_must_be_unrolled_is_named_beforehand(to: str, tmp_path: Path) -> None:
    artifact = made(source(nn.RNN(8, 8), (3, 1, 8)), tmp_path, "fp32", to=to)[0]
    assert artifact.manifest is not None
    assert any("layer" in said and "unrolled over time" in said for said in artifact.manifest.warnings)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_litert_takes_a_long_sequence_in_pieces(kind: type[nn.RNNBase], tmp_path: Path) -> None:
    """The last of which overlaps the one before, as 250 steps do not divide into pieces."""
    torch.manual_seed(0)
    layer = kind(8, 16, num_layers=2, bidirectional=True, batch_first=True)
    artifact = made(source(layer, (2, 250, 8)), tmp_path, "fp32", to="litert")[0]
    assert sqnr_db(artifact) > 100
    assert artifact.file.stat().st_size < 120_000
    counts = ashore.inspect(artifact.file).contents.ops
    assert counts["WHILE"] == 2 * 4


class Reader(nn.Module):
    """A picture's columns, read as a sequence; a second reading starts where the first ended."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.layer = nn.GRU(64, 32, batch_first=True)
        self.head = nn.Linear(32, 4)

    def forward(self, picture: Tensor) -> Tensor:
        columns = torch.relu(self.conv(picture)).flatten(1, 2).transpose(1, 2)
        _, last = self.layer(columns)
        return self.head(self.layer(columns, last)[1][0])


def test_litert_reads_pictures_and_takes_layer_rules_inside_of_loops(tmp_path: Path) -> None:
    drawn = [(torch.randn(1, 3, 8, 80),) for _ in range(6)]
    model = ModelSource(Reader().eval(), drawn[0], "net", calibration=drawn[:4], evaluation=drawn[4:])
    recipe = Recipe(Precision.INT8, layers=(LayerRule("layer", Precision.FP32),))
    mixed = ashore.convert(model, to=["litert"], recipe=recipe, output=tmp_path / "mixed")[0]
    int8 = made(model, tmp_path / "int8", "int8", to="litert")[0]
    assert sqnr_db(int8) > 20
    assert mixed.file.stat().st_size > int8.file.stat().st_size + 3 * (64 + 32) * 32 * 2


def test_litert_unrolls_where_a_dimension_varies(tmp_path: Path) -> None:
    """Here one that the layer does not even see."""

    class Beside(Recurrent):
        def forward(self, x: Tensor, beside: Tensor) -> tuple[Tensor, Tensor]:
            return super().forward(x)[0], beside + 1

    torch.manual_seed(0)
    drawn = [(torch.randn(1, 5, 8), torch.randn(2, 3)) for _ in range(4)]
    net = Beside(nn.GRU(8, 8, batch_first=True)).eval()
    dims = {"beside": {0: DynamicDim("rows", 1, 4)}}
    model = ModelSource(net, drawn[0], "net", calibration=drawn, evaluation=drawn, dynamic_shapes=dims)
    artifact = made(model, tmp_path, "fp32", to="litert")[0]
    assert artifact.manifest is not None
    assert any("unrolled over time" in said for said in artifact.manifest.warnings)
    assert sqnr_db(artifact) > 100
