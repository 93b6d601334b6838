"""LSTM and GRU on ExecuTorch: loops over time, with int8 weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import ashore
from ashore import Artifact, ModelSource

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


def made(source: ModelSource, folder: Path, *precisions: str) -> list[Artifact]:
    return ashore.convert(source, to=["executorch"], precisions=precisions, output=folder)


def operators(artifact: Artifact) -> int:
    assert artifact.manifest is not None
    return artifact.manifest.delegation.total


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_a_file_does_not_grow_with_the_sequence(kind: type[nn.RNNBase], tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = kind(64, 128, batch_first=True)
    short = made(source(layer, (1, 8, 64)), tmp_path / "short", "fp32")[0]
    fp32, int8 = made(source(layer, (1, _STEPS, 64)), tmp_path / "long", "fp32", "int8-dynamic")
    assert operators(short) == operators(fp32) < 60
    assert int8.file.stat().st_size < 0.4 * fp32.file.stat().st_size
    assert fp32.manifest is not None and int8.manifest is not None
    assert fp32.manifest.parity.sqnr_db > 90
    assert int8.manifest.parity.sqnr_db > 25


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_stacked_and_bidirectional_layers_with_states_given(
    kind: type[nn.RNNBase], precision: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    layer = kind(16, 32, num_layers=2, bidirectional=True, bias=precision == "fp32")
    states = ((4, 2, 32), (4, 2, 32))[: 2 if kind is nn.LSTM else 1]
    artifact = made(source(layer, (12, 2, 16), *states), tmp_path, precision)[0]
    assert artifact.manifest is not None
    assert artifact.manifest.parity.sqnr_db > (90 if precision == "fp32" else 20)


def test_a_layer_that_must_be_unrolled_is_named_beforehand(tmp_path: Path) -> None:
    artifact = made(source(nn.RNN(8, 8), (3, 1, 8)), tmp_path, "fp32")[0]
    assert artifact.manifest is not None
    assert any("'layer': unrolled over time" in said for said in artifact.manifest.warnings)
