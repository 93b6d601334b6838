"""int8 weights rounded by GPTQ, as a recipe asks: closer in the finished file at the same size, on both backends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ashore
from ashore import LayerRule, Manifest, ModelSource, Precision, Recipe, Rounding
from ashore_converters.gptq import Rounded
from conformance.zoo import SPECIMENS, build
from integration.test_four_bits import source as matrices

BACKENDS = ("executorch", "litert")


class Net(nn.Module):
    """Convolutions of every kind, with a padding that differs from side to side, and linear layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.ReLU6())
        self.grouped = nn.Sequential(nn.Conv2d(16, 32, 3, groups=2, dilation=2), nn.ReLU())
        self.wide, self.scores = nn.Linear(32 * 16, 64), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.grouped(self.depthwise(self.stem(x))).flatten(1)
        return self.scores(self.wide(features).relu())


def inputs(count: int = 24) -> list[tuple[torch.Tensor, ...]]:
    """Smooth pictures, whose neighbours hang together."""
    coarse = torch.randn(count, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    smooth = nn.functional.interpolate(coarse, size=(16, 16), mode="bilinear")
    return [(picture[None],) for picture in smooth]


def source(**given: Any) -> ModelSource:
    drawn = inputs()
    return ModelSource(Net().eval(), drawn[0], "net", **({"calibration": drawn[:16], "evaluation": drawn[16:]} | given))


def converted(
    made: ModelSource, backend: str, folder: Path, rounding: Rounding, precision: str = "int8", **recipe: Any
) -> Manifest:
    [artifact] = ashore.convert(
        made, to=[backend], precisions=[precision], recipe=Recipe(rounding=rounding, **recipe), output=folder
    )
    assert artifact.manifest is not None
    return artifact.manifest


SPECIMEN = next(specimen for specimen in SPECIMENS if specimen.name == "resnet")
SOURCES = {"int8": lambda: build(SPECIMEN), "int8-dynamic": matrices}
"""By precision, what it is made for: convolutions, and linear layers on inputs that hang together."""


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("precision", SOURCES)
def test_gptq_brings_the_file_closer_at_the_same_size_and_is_told(precision: str, backend: str, tmp_path: Path) -> None:
    made = SOURCES[precision]()
    usual = converted(made, backend, tmp_path / "usual", Rounding.AUTO, precision)
    better = converted(made, backend, tmp_path / "better", Rounding.GPTQ, precision)
    assert better.parity.sqnr_db > usual.parity.sqnr_db + 0.5
    assert better.file.bytes == usual.file.bytes
    assert (usual.recipe.rounding, better.recipe.rounding) == (Rounding.NEAREST, Rounding.GPTQ)
    assert any("GPTQ rounds the 8-bit weights of" in said for said in better.warnings)
    assert not any("GPTQ" in said for said in usual.warnings)
    assert better.calibration is not None and better.calibration.samples == 16
    assert (usual.calibration is None) == (precision == "int8-dynamic")


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_integers_in_the_file_are_gptqs(backend: str, solved: list[Rounded], tmp_path: Path) -> None:
    converted(source(), backend, tmp_path, Rounding.GPTQ, layers=(LayerRule("stem.*", Precision.FP32),))
    [file] = [*tmp_path.glob("*.pte"), *tmp_path.glob("*.tflite")]
    content = file.read_bytes()
    matrices = [one.integers.numpy() for one in solved[1::2] if one.integers.dim() == 2]
    assert len(matrices) == 2 and all(integers.tobytes() in content for integers in matrices)


@pytest.mark.parametrize("backend", BACKENDS)
def test_dynamic_int8_without_samples_is_rounded_to_the_nearest_and_says_so(backend: str, tmp_path: Path) -> None:
    manifest = converted(source(calibration=None), backend, tmp_path, Rounding.GPTQ, "int8-dynamic")
    assert manifest.recipe.rounding is Rounding.NEAREST and manifest.calibration is None
    assert any(
        "8-bit weights are rounded to the nearest: GPTQ needs 2 calibration" in said for said in manifest.warnings
    )


def test_a_layer_in_float_keeps_its_own_numbers(tmp_path: Path) -> None:
    rule = (LayerRule("wide", Precision.FP32),)
    converted(source(), "litert", tmp_path, Rounding.GPTQ, layers=rule)
    assert Net().wide.weight.detach().numpy().tobytes() in (tmp_path / "net.litert.int8.tflite").read_bytes()


def test_what_a_tflite_file_multiplies_is_taken_as_the_file_takes_it(tmp_path: Path) -> None:
    """Weights times the rows that are shown to GPTQ are the operators' outputs, but for bias and activation."""
    from ashore_converters.litert.calibrate import opened
    from ashore_converters.litert.matrices import MATRICES, Layer
    from ashore_converters.litert.quantize import open_float_file
    from ashore_converters.litert.weights import weights

    converted(source(), "litert", tmp_path, Rounding.AUTO, "fp32")
    file = open_float_file((tmp_path / "net.litert.fp32.tflite").read_bytes(), Net())
    found = weights(file, Recipe(), lambda op, _: op.name in MATRICES)
    read = opened(file.content, file.graph)({name: inputs()[0][0].numpy() for name, _ in file.graph.inputs})
    assert len(found) == 5
    for weight in found.values():
        layer, (_, _, bias), (output,) = Layer(weight, file.graph), weight.op.inputs, weight.op.outputs
        products = layer.matrix @ layer.rows(read(weight.op.inputs[0])).mT
        wanted = read(output)
        got = products.reshape(-1, wanted[..., 0].size).T.reshape(wanted.shape).numpy() + read(bias)
        inside = (wanted > 1e-3) & (wanted < 5.99)
        assert inside.any() and np.allclose(got[inside], wanted[inside], atol=1e-4)
