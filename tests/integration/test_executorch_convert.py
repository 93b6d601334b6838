"""Each precision of an ExecuTorch file: what is in it, how close it is, and what is told of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import ashore
from ashore import Artifact, DynamicDim, LayerRule, ModelSource, Precision, Recipe
from ashore.types.manifest import Manifest
from conversions import noisy_source, samples, to_executorch


class Net(nn.Module):
    """Wide at its start and heavy behind, as picture networks are."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU6())
        self.body = nn.Sequential(nn.Conv2d(8, 64, 3, 2), nn.ReLU6(), nn.Conv2d(64, 64, 3, padding=1), nn.Hardswish())
        self.head = nn.Linear(64, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.stem(x)).mean([2, 3]))


SHAPE = (1, 3, 20, 20)


def manifest_of(artifact: Artifact) -> Manifest:
    assert artifact.manifest is not None
    return artifact.manifest


def converted(precision: str, folder: Path, recipe: Recipe | None = None) -> Manifest:
    return manifest_of(to_executorch(noisy_source(Net(), SHAPE), precision, folder, recipe))


@pytest.mark.parametrize(
    ("precision", "floor_db", "largest_bytes"),
    [("fp32", 100, 200_000), ("fp16", 50, 200_000), ("int8", 30, 62_000), ("int8-dynamic", 40, 200_000)],
)
def test_a_network_is_one_delegate_and_close_in_every_precision(
    precision: str, floor_db: float, largest_bytes: int, tmp_path: Path
) -> None:
    manifest = converted(precision, tmp_path)
    assert manifest.parity.sqnr_db > floor_db
    assert manifest.file.bytes < largest_bytes
    assert manifest.delegation.partitions == 1
    assert manifest.delegate == "xnnpack"
    assert set(manifest.versions) >= {"executorch", "torch", "torchao"}


def test_four_bits_shrink_linear_layers_and_say_what_stays(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, 40), nn.ReLU(), nn.Linear(40, 8))
    plain = manifest_of(to_executorch(noisy_source(model, (2, 128)), "fp32", tmp_path / "plain"))
    small = manifest_of(to_executorch(noisy_source(model, (2, 128)), "int4", tmp_path / "small"))
    assert small.file.bytes < plain.file.bytes / 4
    assert "'4' stay in fp32: their inputs do not divide into groups of 32" in small.warnings


def test_half_weights_shrink_linear_layers_and_say_what_does_not(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, 64))
    assert manifest_of(to_executorch(noisy_source(model, (2, 128)), "fp16", tmp_path)).file.bytes < 130_000
    said = converted("fp16", tmp_path / "convolutions").warnings
    assert any("stores the weights of convolutions in fp32" in caution for caution in said)


def test_float_edges_are_float32_in_fp16(tmp_path: Path) -> None:
    manifest = converted("fp16", tmp_path)
    assert [spec.dtype for spec in (*manifest.inputs, *manifest.outputs)] == ["float32", "float32"]


def test_scores_are_not_rounded_in_int8_and_the_recipe_says_so(tmp_path: Path) -> None:
    manifest = converted("int8", tmp_path)
    assert LayerRule("head", Precision.INT8_DYNAMIC) in manifest.recipe.layers


def test_a_start_that_int8_hurts_stays_float_and_is_told(tmp_path: Path) -> None:
    """One channel of the input is a hundred times smaller than the others, which one scale cannot hold."""
    net, gains = Net(), torch.tensor([1.0, 0.01, 1.0]).reshape(1, 3, 1, 1)
    with torch.no_grad():
        net.stem[0].weight /= gains
    drawn = [sample[0] * gains for sample in samples(SHAPE)]
    source = ModelSource(net.eval(), (drawn[0],), "net", calibration=drawn[:12], evaluation=drawn[12:])
    manifest = manifest_of(to_executorch(source, "int8", tmp_path))
    assert manifest.recipe.layers[0] == LayerRule(r"stem\.0", Precision.FP32)
    assert any("first layer stays in fp32 (stem.0" in said and "raises SQNR from" in said for said in manifest.warnings)


def test_layer_rules_of_the_user_keep_layers_float(tmp_path: Path) -> None:
    recipe = Recipe(Precision.INT8, (LayerRule("body.*", Precision.FP32),))
    ruled, plain = converted("int8", tmp_path / "ruled", recipe), converted("int8", tmp_path / "plain")
    assert ruled.file.bytes > plain.file.bytes + 100_000
    assert ruled.parity.sqnr_db > plain.parity.sqnr_db


def test_int8_edges_carry_their_scales(tmp_path: Path) -> None:
    manifest = converted("int8", tmp_path, Recipe(Precision.INT8, int8_io=True))
    for spec in (*manifest.inputs, *manifest.outputs):
        assert spec.dtype == "int8" and spec.quantization is not None and spec.quantization.scale > 0
    assert manifest.parity.sqnr_db > 20


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_dynamic_batch_runs_at_its_smallest_and_largest(precision: str, tmp_path: Path) -> None:
    drawn = [sample[0] for sample in samples(SHAPE)]
    dynamic = {"x": {0: DynamicDim("batch", 1, 4)}}
    source = ModelSource(Net().eval(), (drawn[0],), "net", dynamic, calibration=drawn[:12], evaluation=drawn[12:])
    artifact = to_executorch(source, precision, tmp_path)
    with ashore.open_session(artifact) as session:
        for batch in (1, 4):
            picture = torch.cat(drawn[:batch])
            result = session.run({"x": picture.numpy()})["output"]
            error = np.abs(result - Net().eval()(picture).detach().numpy()).max()
            assert result.shape == (batch, 12) and error < (1e-4 if precision == "fp32" else 0.1)


def test_saved_programs_keep_their_layers_names(tmp_path: Path) -> None:
    program = torch.export.export(Net().eval(), (samples(SHAPE)[0][0],))
    drawn = samples(SHAPE)
    source = ModelSource(program, drawn[0], "net", calibration=drawn[:12], evaluation=drawn[12:])
    manifest = manifest_of(to_executorch(source, "int8", tmp_path))
    assert LayerRule("head", Precision.INT8_DYNAMIC) in manifest.recipe.layers
