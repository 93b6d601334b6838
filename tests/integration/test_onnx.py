"""ONNX files to verified files of both backends, float and already quantized."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ashore
from ashore import Artifact, Precision, Recipe, registry
from ashore.sources import load_source
from ashore.sources.prepare import prepare
from commands import Command
from onnx_files import Transformer, convolutional, export, quantize

# torch and torchao warn of their own deprecations
pytestmark = pytest.mark.filterwarnings("ignore")
BACKENDS = ["executorch", "litert"]
SHAPE = (1, 3, 32, 32)


def converted(path: Path, *precisions: str, **options: Any) -> list[Artifact]:
    source = load_source(str(path), **options)
    return ashore.convert(source, to=BACKENDS, precisions=list(precisions), output=path.with_suffix(""))


def test_a_convolutional_net_of_an_open_batch_by_the_command(command: Command, tmp_path: Path) -> None:
    path = export(convolutional(), tmp_path / "n.onnx", torch.ones(2, *SHAPE[1:]), dynamic_axes={"x": {0: "batch"}})
    words = ("--precision", "fp32", "--precision", "int8", "--calibration", "random")
    done = command("convert", path, *words, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    for backend, suffix in (("executorch", "pte"), ("litert", "tflite")):
        float_file, int8_file = (
            ashore.inspect(tmp_path / "out" / f"n.{backend}.{precision}.{suffix}").artifact
            for precision in ("fp32", "int8")
        )
        assert float_file.manifest is not None and int8_file.manifest is not None
        assert float_file.manifest.parity.sqnr_db >= 80
        assert int8_file.manifest.parity.sqnr_db >= 20
        assert int8_file.manifest.file.bytes < 0.6 * float_file.manifest.file.bytes
        assert any("leaves dimension 'batch'" in warning for warning in float_file.manifest.warnings)
        assert [each.name for each in float_file.manifest.outputs] == ["scores"]


def test_a_transformer_block_in_fp32(tmp_path: Path) -> None:
    for artifact in converted(export(Transformer(), tmp_path / "t.onnx", torch.ones(1, 6, dtype=torch.int64)), "fp32"):
        assert artifact.manifest is not None
        assert artifact.manifest.parity.sqnr_db >= 80


@pytest.mark.parametrize("activations", ["QInt8", "QUInt8"])
def test_a_quantized_net_keeps_its_scales_on_both(activations: str, tmp_path: Path) -> None:
    plain = export(convolutional(), tmp_path / "n.onnx", torch.ones(SHAPE))
    weights = 4 * sum(parameter.numel() for parameter in convolutional().parameters())
    made = converted(quantize(plain, SHAPE, activations=activations), "int8")  # without calibration
    assert len(made) == 2
    for artifact in made:
        assert artifact.manifest is not None
        assert artifact.manifest.calibration is None
        assert not any("calibrat" in warning for warning in artifact.manifest.warnings)
        # With scales of its own instead of the file's, it would depart as far as int8 from fp32.
        assert artifact.manifest.parity.sqnr_db >= 40
        assert artifact.manifest.file.bytes < 0.6 * weights
        assert artifact.manifest.delegation is not None
        assert artifact.manifest.delegation.delegated == artifact.manifest.delegation.total


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_float16_file_converts_on_both_and_stays_as_small_in_fp16(precision: str, tmp_path: Path) -> None:
    path = export(Transformer().half(), tmp_path / "t.onnx", torch.ones(1, 6, dtype=torch.int64))
    made = converted(path, precision)
    assert len(made) == 2
    for artifact in made:
        assert artifact.manifest is not None
        assert artifact.manifest.parity.sqnr_db >= (80 if precision == "fp32" else 50)
        assert any("came in float16" in warning for warning in artifact.manifest.warnings)
        if precision == "fp16":
            assert artifact.manifest.file.bytes < 1.3 * path.stat().st_size


def test_the_convolutions_of_a_file_are_counted_as_they_are(tmp_path: Path) -> None:
    path = export(convolutional(), tmp_path / "n.onnx", torch.ones(SHAPE))
    request = prepare(load_source(str(path))).request(Recipe(Precision.FP16))
    (told,) = registry.get_converter("executorch").check(request)
    assert "in fp32 also for fp16: 4 convolutions of this model will not shrink" in told


def test_a_float16_convolutional_net_in_int8_on_both(tmp_path: Path) -> None:
    path = export(convolutional().half(), tmp_path / "n.onnx", torch.ones(SHAPE).half())
    for artifact in converted(path, "int8", calibration="random"):
        assert artifact.manifest is not None
        assert [spec.dtype for spec in artifact.manifest.inputs] == ["float32"]
        assert artifact.manifest.parity.sqnr_db >= 20


def test_an_upsampling_net_with_norms_and_gelu_in_int8(tmp_path: Path) -> None:
    """ONNX has GELU as erf and arithmetic, which share what the convolution before them gives."""
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.GroupNorm(4, 8), nn.GELU()),
        *(nn.ConvTranspose2d(8, 6, 2, stride=2), nn.InstanceNorm2d(6, affine=True), nn.GELU()),
        *(nn.ConvTranspose2d(6, 3, 3, padding=1), nn.GELU()),
    )
    path = export(net, tmp_path / "u.onnx", torch.ones(1, 3, 16, 16))
    made = converted(path, "int8", calibration="random")
    assert len(made) == 2
    for artifact in made:
        assert artifact.manifest is not None and artifact.manifest.parity.sqnr_db >= 25


def test_an_lstm_of_a_file_is_a_loop_however_long_its_sequence(tmp_path: Path) -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.lstm = torch.nn.LSTM(16, 32, batch_first=True)
            self.head = torch.nn.Linear(32, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.lstm(x)[0])  # type: ignore[no-any-return]  # a tensor

    path = export(Net(), tmp_path / "net.onnx", torch.randn(1, 400, 16))
    for artifact in converted(path, "fp32"):
        assert artifact.manifest is not None
        assert artifact.manifest.delegation.total < 60
        assert artifact.manifest.parity.sqnr_db > 90
