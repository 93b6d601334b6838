"""What LiteRT cannot do is said in terms of the user's model, before the work where that is possible."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ashore import ConversionError, ExportFailed, LayerRule, ModelSource, Precision, Recipe, UnsupportedModel
from conversions import noisy_source, to_litert


class Inside(nn.Module):
    """Puts one computation two modules deep."""

    def __init__(self, computation: nn.Module) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 8), computation)

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)


class NoCounterpart(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(x)


class ComplexNumbers(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.view_as_real(
            torch.view_as_complex(x.reshape(-1, 4, 2)) * torch.polar(torch.ones(4), torch.ones(4))
        )


class SizeByValue(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[x[:, 0] > 0]


class BranchByValue(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.relu() if x.sum() > 0 else x


class LeavesTorch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(x.detach().numpy() * 2)


@pytest.mark.parametrize(
    ("computation", "kind", "message", "hint"),
    [
        (
            NoCounterpart(),
            UnsupportedModel,
            "LiteRT has no counterpart of aten.special_bessel_j0 in module 'encoder.1'",
            "or use --to executorch",
        ),
        (
            ComplexNumbers(),
            UnsupportedModel,
            "module 'encoder.1' computes with complex numbers",
            "a rotary embedding: with cos and sin",
        ),
        (
            SizeByValue(),
            UnsupportedModel,
            "the size of what aten.index in module 'encoder.1' makes depends on the values",
            "mask those that do not count",
        ),
        (
            BranchByValue(),
            ExportFailed,
            "the control flow in module 'encoder.1' depends on the values of tensors",
            "torch.where",
        ),
        (
            LeavesTorch(),
            ExportFailed,
            "torch.export could not capture module 'encoder.1'",
            "keep to tensor operations in forward",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_model_that_cannot_be_converted_is_refused_with_operator_place_and_way_out(
    tmp_path: Path, computation: nn.Module, kind: type[ConversionError], message: str, hint: str
) -> None:
    with pytest.raises(kind) as raised:
        to_litert(noisy_source(Inside(computation), (4, 8)), "fp32", tmp_path)
    assert message in raised.value.message
    assert hint in raised.value.hint
    assert raised.value.__cause__ is not None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("precision", "recipe", "message"),
    [
        ("int4", Recipe(group_size=48), "LiteRT has no int4 weights in groups of 48"),
        ("fp16", Recipe(int8_io=True), "int8_io asks for int8 tensors at the edge of a file of fp16"),
        (
            "fp32",
            Recipe(layers=(LayerRule("encoder", Precision.MIXED),)),
            "layer rule 'encoder' asks for mixed in a file of fp32",
        ),
    ],
)
def test_a_recipe_beyond_litert_is_refused(tmp_path: Path, precision: str, recipe: Recipe, message: str) -> None:
    with pytest.raises(UnsupportedModel) as raised:
        to_litert(noisy_source(Inside(nn.ReLU()), (4, 8)), precision, tmp_path, recipe)
    assert message in raised.value.message
    assert raised.value.hint


def test_half_weights_are_refused_by_name(tmp_path: Path) -> None:
    class HalfMixed(Inside):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.encoder(x.half()).float())

    model = HalfMixed(nn.ReLU()).half()
    model.head = nn.Linear(8, 8)
    source = noisy_source(model, (4, 8))
    with pytest.raises(UnsupportedModel, match=r"weights hold float16 numbers \(encoder\.0\.weight\)") as raised:
        to_litert(source, "fp32", tmp_path)
    assert "take its own casts to that format out of forward; --precision fp16" in raised.value.hint


def test_double_weights_are_refused_by_name(tmp_path: Path) -> None:
    source = ModelSource(nn.Linear(4, 4).double(), (torch.ones(1, 4, dtype=torch.float64),))
    with pytest.raises(UnsupportedModel, match=r"weights hold float64 numbers \(weight\), in which LiteRT cannot"):
        to_litert(source, "fp32", tmp_path)


def test_inputs_that_torchao_rounds_are_none_of_fp32(tmp_path: Path) -> None:
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    model = nn.Sequential(nn.Linear(32, 32))
    quantize_(model, Int8DynamicActivationInt8WeightConfig())
    with pytest.raises(UnsupportedModel, match="0 were quantized by torchao to round their inputs to 8 bits") as raised:
        to_litert(noisy_source(model, (4, 32)), "fp32", tmp_path)
    assert "use --precision int8-dynamic" in raised.value.hint


@pytest.mark.parametrize(
    ("precision", "caution"),
    [
        ("int8-dynamic", r"the depthwise convolutions \(encoder\.1\) run outside of the delegate in int8-dynamic"),
        ("int4", r"the weights of convolutions \(encoder\.1\) stay int8"),
    ],
)
def test_a_precision_that_suits_the_model_badly_is_cautioned_against(
    tmp_path: Path, precision: str, caution: str
) -> None:
    model = Inside(nn.Conv1d(4, 4, 3, padding=1, groups=4))
    manifest = to_litert(noisy_source(model, (2, 4, 8)), precision, tmp_path, None).manifest
    assert manifest is not None
    assert any(re.match(caution, said) for said in manifest.warnings)
