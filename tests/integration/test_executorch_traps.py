"""What makes the library calls fail, or worse, succeed with wrong numbers; each judged on the finished file."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import prune, weight_norm

from ashore import ModelSource, UnsupportedModel
from conversions import noisy_source, samples, to_executorch


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8))


def torchao_mlp(config: object) -> ModelSource:
    from torchao.quantization import quantize_

    model = mlp().eval()
    quantize_(model, config)
    return noisy_source(model, (2, 64))


def sqnr_db(source: ModelSource, precision: str, folder: Path) -> float:
    manifest = to_executorch(source, precision, folder).manifest
    assert manifest is not None
    return manifest.parity.sqnr_db


def test_weights_quantized_alone_by_torchao_come_out_right(tmp_path: Path) -> None:
    from torchao.quantization import IntxWeightOnlyConfig

    source = torchao_mlp(IntxWeightOnlyConfig())
    artifact = to_executorch(source, "fp32", tmp_path)
    assert artifact.manifest is not None
    assert artifact.manifest.parity.sqnr_db > 100
    assert any("quantized by torchao; they are dequantized" in said for said in artifact.manifest.warnings)


def test_linear_layers_with_live_pruning_come_out_right_and_no_larger(tmp_path: Path) -> None:
    model = mlp()
    plain = to_executorch(noisy_source(model, (2, 64)), "fp32", tmp_path / "plain")
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    pruned = to_executorch(noisy_source(model, (2, 64)), "fp32", tmp_path / "pruned")
    assert plain.manifest is not None and pruned.manifest is not None
    assert pruned.manifest.parity.sqnr_db > 100
    assert pruned.manifest.file.bytes == pytest.approx(plain.manifest.file.bytes, rel=0.02)


def test_live_weight_norm_comes_out_right_in_int8(tmp_path: Path) -> None:
    model = mlp()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's newer form is a parametrization, tested in test_bake
        weight_norm(model[0])
    assert sqnr_db(noisy_source(model, (2, 64)), "int8", tmp_path) > 20


class CountsTokens(nn.Module):
    """Adds scalars to integer tensors, as embeddings of positions do in transformers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(32, 16)
        self.head = nn.Linear(16, 8)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding((tokens + 1) * 2 % 32).relu())


def test_integer_arithmetic_stays_integer_in_int8(tmp_path: Path) -> None:
    tokens = [(torch.randint(0, 32, (1, 6), generator=torch.Generator().manual_seed(i)),) for i in range(16)]
    source = ModelSource(CountsTokens().eval(), tokens[0], "net", calibration=tokens[:12], evaluation=tokens[12:])
    assert sqnr_db(source, "int8", tmp_path) > 20


def test_rounding_outside_of_the_delegate_has_a_kernel(tmp_path: Path) -> None:
    """In a process of its own: once registered, the kernels stay, and hide what another conversion forgot."""
    script = tmp_path / "rounds.py"
    script.write_text(
        "import torch, torchao.quantization.pt2e\n"
        "class Rounds(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        scales, zeros = torch.full((4,), 0.05).double(), torch.zeros(4, dtype=torch.int64)\n"
        "        per_channel = (scales, zeros, 0, -128, 127, torch.int8)\n"
        "        rounded = torch.ops.quantized_decomposed.quantize_per_channel(x, *per_channel)\n"
        "        return torch.ops.quantized_decomposed.dequantize_per_channel(rounded, *per_channel).cumsum(1)\n"
        "model = (Rounds(), torch.rand(4, 8))\n"
    )
    words = ["convert", f"{script}:model", "--to", "executorch", "-o", str(tmp_path / "out"), "--min-sqnr", "40"]
    ended = subprocess.run([sys.executable, "-m", "ashore", *words], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "out" / "model.executorch.fp32.pte").exists()


def test_four_bit_layers_of_torchao_are_kept_as_they_are(tmp_path: Path) -> None:
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, PerGroup

    config = Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int4, weight_granularity=PerGroup(32))
    assert sqnr_db(torchao_mlp(config), "int4", tmp_path) > 40


def test_eight_bit_weights_in_groups_are_refused_by_name(tmp_path: Path) -> None:
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, PerGroup

    config = Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int8, weight_granularity=PerGroup(32))
    with pytest.raises(UnsupportedModel) as caught:
        to_executorch(torchao_mlp(config), "int4", tmp_path)
    assert "layer '0' holds 8-bit weights in groups" in caught.value.message
    assert "4 bits in groups or to 8 bits by row" in caught.value.hint


def test_layers_that_round_their_inputs_are_refused_in_fp32(tmp_path: Path) -> None:
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig

    with pytest.raises(UnsupportedModel) as caught:
        to_executorch(torchao_mlp(Int8DynamicActivationInt8WeightConfig()), "fp32", tmp_path)
    assert "'0', '2', '4' were quantized by torchao to round their inputs" in caught.value.message
    assert "--precision int8-dynamic" in caught.value.hint


def test_layers_xnnpack_leaves_out_in_int8_become_float_and_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ashore_converters.executorch import quantizer as executorch_quantizer

    class Clamped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first = nn.Conv2d(3, 8, 3, padding=1)
            self.second = nn.Conv2d(8, 4, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(x).clamp(min=0.0))

    # XNNPACK does not fuse a clamp; were ashore to believe so, it must notice.
    believed = {*executorch_quantizer._FUSED, torch.ops.aten.clamp.default}
    monkeypatch.setattr(executorch_quantizer, "_FUSED", believed)
    artifact = to_executorch(noisy_source(Clamped(), (1, 3, 12, 12)), "int8", tmp_path)
    assert artifact.manifest is not None
    assert artifact.manifest.parity.sqnr_db > 25
    assert artifact.manifest.recipe.layers[0].pattern == "first"
    assert any(said.startswith("first stay in fp32") for said in artifact.manifest.warnings)


@pytest.mark.parametrize("kind", ["ConvTranspose1d", "Conv1d"])
def test_one_dimensional_float_convolutions_beside_int8_ones(kind: str, tmp_path: Path) -> None:
    from ashore import LayerRule, Precision, Recipe

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(4, 8, 3), getattr(nn, kind)(8, 8, 3), nn.Conv1d(8, 4, 3))
    recipe = Recipe(Precision.INT8, (LayerRule("1", Precision.FP32),))
    artifact = to_executorch(noisy_source(model, (1, 4, 24)), "int8", tmp_path, recipe)
    assert artifact.manifest is not None and artifact.manifest.parity.sqnr_db > 20


def quantized_by_pt2e(*, dynamic: bool) -> ModelSource:
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    drawn = samples((2, 64))
    config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=dynamic)
    graph = torch.export.export(mlp().eval(), drawn[0]).module(check_guards=False)
    prepared = prepare_pt2e(graph, XNNPACKQuantizer().set_global(config))
    for sample in drawn[:12]:
        prepared(*sample)
    program = torch.export.export(convert_pt2e(prepared), drawn[0])
    return ModelSource(program, drawn[0], "net", calibration=drawn[:12], evaluation=drawn[12:])


# torch's own export of a quantized graph warns of a treespec it deprecates itself.
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(("dynamic", "precision"), [(False, "int8"), (True, "int8-dynamic")])
def test_programs_quantized_by_pt2e_keep_their_own_quantization(dynamic: bool, precision: str, tmp_path: Path) -> None:
    artifact = to_executorch(quantized_by_pt2e(dynamic=dynamic), precision, tmp_path)
    assert artifact.manifest is not None
    assert artifact.manifest.parity.sqnr_db > 40
    assert artifact.manifest.file.bytes < 20_000
    assert "the model is quantized already; the file keeps that quantization" in artifact.manifest.warnings
    with pytest.raises(UnsupportedModel) as caught:
        to_executorch(quantized_by_pt2e(dynamic=dynamic), "fp32", tmp_path)
    assert "fp32 would change what it computes" in caught.value.message


class _Normed(nn.Module):
    """A residual connection around a batch norm: the layer before it has a second user."""

    def __init__(self, layer: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.layer, self.norm = layer, norm
        with torch.no_grad():
            self.norm.running_mean.normal_(generator=torch.Generator().manual_seed(2))
            self.norm.running_var.fill_(4.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.layer(x)
        return y + torch.relu(self.norm(y))


@pytest.mark.parametrize(
    ("kind", "precision"), [("linear", "int8"), ("linear", "int8-dynamic"), ("convolution", "int8")]
)
def test_a_batch_norm_is_not_folded_into_a_layer_that_others_use(kind: str, precision: str, tmp_path: Path) -> None:
    if kind == "linear":
        model, shape = _Normed(nn.Linear(16, 16), nn.BatchNorm1d(16)), (2, 16)
    else:
        model, shape = _Normed(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), (1, 3, 12, 12)
    artifact = to_executorch(noisy_source(model, shape), precision, tmp_path)
    assert artifact.manifest is not None
    assert artifact.manifest.parity.sqnr_db > 30, "folded into both users, it gives some 5 dB"


class _HandwrittenGelu(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(3, 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer(x)
        return x * 0.5 * (1.0 + torch.erf(x / 2**0.5))


@pytest.mark.filterwarnings("ignore")  # torchao warns of its own deprecations
def test_float_operators_that_share_the_output_of_an_int8_layer(tmp_path: Path) -> None:
    artifact = to_executorch(noisy_source(_HandwrittenGelu(), (1, 3, 16, 16)), "int8", tmp_path)
    assert artifact.manifest is not None and artifact.manifest.parity.sqnr_db >= 25


def test_a_batch_norm_without_running_statistics_is_not_folded(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, track_running_stats=False), nn.ReLU())
    artifact = to_executorch(noisy_source(model, (1, 3, 12, 12)), "int8", tmp_path)
    assert artifact.manifest is not None and artifact.manifest.parity.sqnr_db > 30


class _HalfInTheMiddle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.short, self.last = nn.Linear(64, 64), nn.Linear(64, 64).bfloat16(), nn.Linear(64, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.short(self.first(x).bfloat16()).float()))


@pytest.mark.filterwarnings("ignore")  # torchao warns of its own deprecations
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_a_layer_in_another_format_stays_in_it_and_is_named(precision: str, tmp_path: Path) -> None:
    artifact = to_executorch(noisy_source(_HalfInTheMiddle(), (2, 64)), precision, tmp_path)
    assert artifact.manifest is not None
    assert "'short' stays in bfloat16: only weights in float32 are quantized" in artifact.manifest.warnings
