"""What ExecuTorch cannot do is said in terms of the user's model: what, where, and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import ashore
from ashore import ConversionError, ExportFailed, LayerRule, Precision, Recipe, UnsupportedModel, UsageError
from conversions import noisy_source, to_executorch


class Gate(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            return x
        return -x


class Gated(nn.Module):
    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.blocks = nn.ModuleList([nn.ReLU(), gate])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return x


class Spectrum(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.i0e(x)


class Foreign(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(x.numpy() * 2)


def refusal(model: nn.Module, folder: Path, precision: str = "fp32", recipe: Recipe | None = None) -> ConversionError:
    with pytest.raises(ConversionError) as caught:
        to_executorch(noisy_source(model, (2, 8)), precision, folder, recipe)
    assert not list(folder.iterdir())
    return caught.value


def line_of(text: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.strip() == text)


def test_control_flow_on_values_names_the_module_and_the_line(tmp_path: Path) -> None:
    error = refusal(Gated(Gate()), tmp_path)
    assert isinstance(error, ExportFailed)
    assert "control flow depends on the values of its tensors in module 'blocks.1'" in error.message
    assert f"{Path(__file__).name}:{line_of('if x.sum() > 0:')}" in error.message
    assert "torch.where" in error.hint
    assert error.__cause__ is not None


def test_code_that_cannot_be_traced_names_the_module_and_the_line(tmp_path: Path) -> None:
    error = refusal(Gated(Foreign()), tmp_path)
    assert isinstance(error, ExportFailed)
    assert "in module 'blocks.1'" in error.message
    assert f"{Path(__file__).name}:{line_of('return torch.from_numpy(x.numpy() * 2)')}" in error.message


def test_an_operator_without_a_kernel_is_named_with_its_module(tmp_path: Path) -> None:
    error = refusal(Gated(Spectrum()), tmp_path)
    assert isinstance(error, UnsupportedModel)
    assert "special_i0e" in error.message and "in module 'blocks.1'" in error.message
    assert f"{Path(__file__).name}:{line_of('return torch.special.i0e(x)')}" in error.message
    assert "--to litert" in error.hint


@pytest.mark.parametrize("precision", ["int8", "int8-dynamic", "int4"])
def test_a_model_with_nothing_to_quantize_is_refused(precision: str, tmp_path: Path) -> None:
    error = refusal(nn.Sequential(nn.ReLU(), nn.Softmax(-1)), tmp_path, precision)
    assert isinstance(error, UnsupportedModel)
    assert f"{precision} has nothing to quantize: the model has no linear layer" in error.message


def test_a_layer_rule_of_an_impossible_precision_is_named(tmp_path: Path) -> None:
    recipe = Recipe(Precision.INT8, (LayerRule("0", Precision.INT4),))
    error = refusal(nn.Sequential(nn.Linear(8, 8)), tmp_path, "int8", recipe)
    assert isinstance(error, UnsupportedModel)
    assert "layer rule '0' asks for int4 in a file of int8" in error.message
    assert "fp32, int8, int8-dynamic" in error.hint


def test_a_layer_rule_that_names_no_layer_is_a_usage_error(tmp_path: Path) -> None:
    recipe = Recipe(Precision.INT8, (LayerRule("heads", Precision.FP32),))
    with pytest.raises(UsageError) as caught:
        to_executorch(noisy_source(nn.Sequential(nn.Linear(8, 8)), (2, 8)), "int8", tmp_path, recipe)
    assert "'heads' matches no layer" in caught.value.message


def test_int8_edges_of_a_float_file_are_refused(tmp_path: Path) -> None:
    error = refusal(nn.Sequential(nn.Linear(8, 8)), tmp_path, "fp32", Recipe(int8_io=True))
    assert isinstance(error, UnsupportedModel) and "int8_io" in error.message


def test_int8_edges_behind_a_float_operator_are_refused_by_name(tmp_path: Path) -> None:
    recipe = Recipe(Precision.INT8, int8_io=True)
    error = refusal(nn.Sequential(nn.Linear(8, 8), nn.Softmax(-1)), tmp_path, "int8", recipe)
    assert isinstance(error, UnsupportedModel)
    assert "output 'output' is not quantized at the model's edge" in error.message


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("captured", [False, True], ids=["module", "program"])
def test_convolutions_over_three_dimensions_are_refused_beforehand(
    precision: str, captured: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ashore_converters.executorch import converter as executorch

    monkeypatch.setattr(executorch.ExecuTorchConverter, "convert", lambda *_: pytest.fail("the work began"))
    model, x = nn.Sequential(nn.Conv3d(2, 4, 3), nn.ReLU()).eval(), torch.randn(1, 2, 4, 4, 4)
    given = torch.export.export(model, (x,)) if captured else model
    source = ashore.ModelSource(given, (x,), "net", calibration="random")
    with pytest.raises(
        UnsupportedModel, match=r"(conv3d|'0'|0).*: ExecuTorch has no kernel for convolutions"
    ) as caught:
        ashore.convert(source, to=["executorch"], precisions=[precision], output=tmp_path)
    assert "--to litert" in caught.value.hint


def test_a_convolution_over_three_dimensions_that_is_called_as_a_function_is_refused(tmp_path: Path) -> None:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.conv3d(x, torch.ones(1, 2, 3, 3, 3))

    source = ashore.ModelSource(Net().eval(), (torch.randn(1, 2, 4, 4, 4),), "net")
    with pytest.raises(UnsupportedModel, match="'conv3d': ExecuTorch has no kernel for convolutions over three"):
        ashore.convert(source, to=["executorch"], output=tmp_path)


class MixedFormats(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 8).half(), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        halves: torch.Tensor = self.first(x.half())
        answer: torch.Tensor = self.last(halves.float())
        return answer


def test_fp16_of_a_model_of_mixed_formats_is_refused(tmp_path: Path) -> None:
    source = ashore.ModelSource(MixedFormats().eval(), (torch.randn(2, 8),), "net")
    with pytest.raises(
        UnsupportedModel, match=r"in several formats \(float16, float32\), and --precision fp16"
    ) as caught:
        ashore.convert(source, to=["executorch"], precisions=["fp16"], output=tmp_path)
    assert caught.value.hint.startswith("use --precision fp32, which keeps each part in its own format")


def test_double_weights_are_not_called_int8(tmp_path: Path) -> None:
    class Double(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            answer: torch.Tensor = super().forward(x.double())
            return answer.float()

    error = refusal(Double(nn.Linear(8, 8)).double(), tmp_path, "int8")
    assert "the weights hold float64 numbers (0.weight), which cannot be made int8" in error.message
    assert "call .float() on the model" in error.hint


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_packed_layers_are_refused_by_name_before_their_weights_are_missed(tmp_path: Path) -> None:
    model = nn.Sequential(torch.ao.nn.quantized.Quantize(0.1, 0, torch.quint8), torch.ao.nn.quantized.Linear(8, 4))
    error = refusal(nn.Sequential(model, torch.ao.nn.quantized.DeQuantize()), tmp_path, "int8")
    assert "layer '0.0' is torch.ao.nn.quantized.modules.Quantize, which holds packed weights" in error.message


def test_int4_with_groups_that_no_layer_divides_into_is_refused(tmp_path: Path) -> None:
    error = refusal(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), tmp_path, "int4")
    assert "int4 has nothing to quantize: the inputs of no linear layer divide into groups of 32" in error.message
    assert "set another group_size in a recipe" in error.hint
