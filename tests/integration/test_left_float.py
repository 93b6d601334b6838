"""Layers that a quantizer passes over are told, and a file in which nothing changed is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import ashore
from ashore import LayerRule, ModelSource, Precision, Recipe, UnsupportedModel
from ashore.types.manifest import Manifest

PRECISIONS = ("fp16", "int8", "int8-dynamic", "int4")

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and litert_torch warn of their own deprecations


class Volumes(nn.Module):
    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = nn.Conv3d(2, 8, 3), nn.ConvTranspose3d(8, 32, 2), last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.second(self.first(x).relu()).mean((2, 3, 4)))


def made(last: nn.Module, recipe: Recipe, folder: Path) -> Manifest:
    samples = [(torch.randn(1, 2, 6, 6, 6),) for _ in range(4)]
    source = ModelSource(Volumes(last).eval(), samples[0], "net", calibration=samples)
    [artifact] = ashore.convert(source, to=["litert"], recipe=recipe, output=folder)
    assert artifact.manifest is not None
    return artifact.manifest


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_file_in_which_nothing_changed_is_refused(precision: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel) as caught:
        made(nn.Identity(), Recipe(Precision(precision)), tmp_path)
    assert caught.value.message == (
        f"{precision} would change nothing: LiteRT keeps the weights of 'first' (CONV_3D), 'second' (CONV_3D) in fp32"
    )
    assert caught.value.hint == "use --precision fp32"
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_layers_that_stay_in_fp32_are_told(precision: str, tmp_path: Path) -> None:
    told = f"the weights of 'first' (CONV_3D), 'second' (CONV_3D) stay in fp32: LiteRT has no {precision} of them"
    assert told in made(nn.Linear(32, 8), Recipe(Precision(precision)), tmp_path).warnings


def test_layers_that_a_rule_keeps_in_fp32_are_not(tmp_path: Path) -> None:
    rules = (LayerRule("first|second", Precision.FP32),)
    manifest = made(nn.Linear(32, 8), Recipe(Precision.INT8_DYNAMIC, layers=rules), tmp_path)
    assert not any("stay in fp32" in warning for warning in manifest.warnings)
