"""What makes the LiteRT library calls fail, or succeed with a file that is wrong, slow or does not load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ashore
from ashore import Manifest, ModelSource, UnsupportedModel
from conversions import noisy_source, samples, to_litert


def converted(source: ModelSource, precision: str, folder: Path) -> Manifest:
    manifest = to_litert(source, precision, folder).manifest
    assert manifest is not None
    return manifest


def ops_of(manifest: Manifest, folder: Path) -> dict[str, int]:
    return dict(ashore.inspect(folder / manifest.file.name).contents.ops)


class Tagger(nn.Module):
    """Embeds tokens and scores them; quantizers treat the table of embeddings in ways of their own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(50, 64)
        self.body = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 64))
        self.head = nn.Linear(64, 10)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.body(self.table(tokens)))


def tokens(count: int = 12) -> list[tuple[Tensor]]:
    generator = torch.Generator().manual_seed(2)
    return [(torch.randint(0, 50, (1, 7), generator=generator),) for _ in range(count)]


def tagger_source(model: nn.Module) -> ModelSource:
    drawn = tokens()
    return ModelSource(model, drawn[0], "net", calibration=drawn[:8], evaluation=drawn[8:])


# --- quantized already ------------------------------------------------------------------------------------------------


def _torchao_configs() -> dict[str, Callable[[], Any]]:
    import torchao.quantization as ao

    return {
        "exact but slow": ao.Int8WeightOnlyConfig,
        "no lowering": ao.Int8DynamicActivationInt8WeightConfig,
        "does not load": ao.IntxWeightOnlyConfig,
        "blockwise": lambda: ao.Int8DynamicActivationIntxWeightConfig(
            weight_dtype=torch.int4, weight_granularity=ao.PerGroup(32)
        ),
    }


@pytest.mark.parametrize("trap", ["exact but slow", "no lowering", "does not load", "blockwise"])
def test_torchao_weights_are_dequantized_and_quantized_anew(tmp_path: Path, trap: str) -> None:
    from torchao.quantization import quantize_

    model = Tagger().eval()
    quantize_(model, _torchao_configs()[trap]())
    manifest = converted(tagger_source(model), "int8-dynamic", tmp_path)
    assert manifest.parity.sqnr_db > 30
    assert ops_of(manifest, tmp_path).keys() == {"RESHAPE", "EMBEDDING_LOOKUP", "FULLY_CONNECTED"}
    assert any("body.0, body.2, head were quantized by torchao; they are deq" in said for said in manifest.warnings)


def pt2e(dynamic: bool, fold: bool, *, made_by: str = "litert") -> nn.Module:
    """A model that was quantized before it came to ashore."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    if made_by == "litert":
        from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer as Quantizer
        from litert_torch.quantize.pt2e_quantizer import get_symmetric_quantization_config as scheme
    else:
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer as Quantizer
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import get_symmetric_quantization_config as scheme
    graph = torch.export.export(Tagger().eval(), tokens()[0]).module(check_guards=False)
    prepared = prepare_pt2e(graph, Quantizer().set_global(scheme(is_per_channel=True, is_dynamic=dynamic)))
    for sample in tokens():
        prepared(*sample)
    return convert_pt2e(prepared, fold_quantize=fold)


@pytest.mark.filterwarnings("ignore")  # torchao warns of its own deprecations while the model is made
@pytest.mark.parametrize(
    ("dynamic", "fold", "made_by"),
    [
        (False, False, "litert"),  # without being told, litert_torch makes a file bigger and slower than the float one
        (False, False, "executorch"),
        (False, True, "executorch"),  # litert_torch cannot read weights that were folded
        (True, False, "litert"),  # told so, litert_torch makes embeddings that do not load
        (True, False, "executorch"),  # there is no lowering for scales that are chosen at run time
        (True, True, "executorch"),
    ],
)
def test_a_model_quantized_by_pt2e_keeps_its_quantization(
    tmp_path: Path, dynamic: bool, fold: bool, made_by: str
) -> None:
    source = tagger_source(pt2e(dynamic, fold, made_by=made_by))
    manifest = converted(source, "int8-dynamic", tmp_path)
    assert manifest.parity.sqnr_db > 35
    assert manifest.file.bytes < 65_000  # 150,000 in float, of which the table takes 12,800
    assert manifest.delegation.partitions == 1
    assert [spec.dtype for spec in (*manifest.inputs, *manifest.outputs)] == ["int32", "float32"]
    assert "the model is quantized already; the file keeps that quantization" in manifest.warnings


@pytest.mark.filterwarnings("ignore")
def test_a_model_quantized_by_pt2e_cannot_become_anything_else(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="quantized already and cannot be made fp32") as raised:
        converted(tagger_source(pt2e(False, False)), "fp32", tmp_path)
    assert "--precision int8 or int8-dynamic" in raised.value.hint


@pytest.mark.parametrize("precision", ["int8", "int8-dynamic", "int4"])
def test_a_table_of_embeddings_loads_and_shrinks(tmp_path: Path, precision: str) -> None:
    manifest = converted(tagger_source(Tagger()), precision, tmp_path)
    assert manifest.parity.sqnr_db > 15
    assert manifest.file.bytes < 65_000


# --- layout and padding -----------------------------------------------------------------------------------------------


class Picture(nn.Module):
    """Everything that could make the compiler turn a picture around in the middle of the net."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.ReLU6(), nn.Conv2d(16, 16, 1))
        self.squeeze, self.excite = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1)
        self.head = nn.Linear(16, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.pool(self.stem(image))
        x = x + self.depthwise(x)
        gate = torch.sigmoid(self.excite(self.squeeze(x.mean((2, 3), keepdim=True)).relu()))
        return self.head((x * gate).mean((-1, -2)))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_picture_is_transposed_once_and_stays_in_the_delegate(tmp_path: Path, precision: str) -> None:
    manifest = converted(noisy_source(Picture(), (1, 3, 32, 32)), precision, tmp_path)
    assert ops_of(manifest, tmp_path)["TRANSPOSE"] == 1
    assert manifest.delegation.partitions == 1
    assert manifest.delegation.share == 1.0
    assert manifest.inputs[0].shape == (1, 3, 32, 32)


class TakesChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = Picture()

    def forward(self, image: Tensor) -> Tensor:
        return self.net(image.permute(0, 3, 1, 2))


def test_a_model_that_takes_channels_last_is_not_transposed_at_all(tmp_path: Path) -> None:
    manifest = converted(noisy_source(TakesChannelsLast(), (1, 32, 32, 3)), "fp32", tmp_path)
    assert "TRANSPOSE" not in ops_of(manifest, tmp_path)
    assert manifest.parity.sqnr_db > 100


class PoolsNegatives(nn.Module):
    """A padded max pool whose padding must be less than every number."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.max_pool2d(self.conv(x) - 3, 3, 2, 1)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_padding_with_minus_infinity_is_right_and_gets_no_scale(tmp_path: Path, precision: str) -> None:
    manifest = converted(noisy_source(PoolsNegatives(), (1, 3, 17, 17)), precision, tmp_path)
    assert manifest.parity.sqnr_db > 30


# --- numbers ----------------------------------------------------------------------------------------------------------


class Rotary(nn.Module):
    """Attention with rotary positions, far ones too, and a mask of minus infinity."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.query, self.key, self.value = (nn.Linear(64, 64) for _ in range(3))

    def turned(self, x: Tensor, positions: Tensor) -> Tensor:
        frequencies = 1.0 / (10_000.0 ** (torch.arange(0, 64, 2).float() / 64))
        angles = torch.cat([positions[0, :, None].float() * frequencies] * 2, -1)
        return x * angles.cos() + torch.cat([-x[..., 32:], x[..., :32]], -1) * angles.sin()

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        scores = self.turned(self.query(x), positions) @ self.turned(self.key(x), positions).transpose(1, 2) / 8
        mask = torch.full((48, 48), float("-inf")).triu(1)
        return torch.softmax(scores + mask, -1) @ self.value(x)


@pytest.mark.parametrize(("precision", "floor_db"), [("fp32", 100), ("int8", 20), ("int8-dynamic", 25)])
def test_rotary_positions_and_masks_keep_their_precision(tmp_path: Path, precision: str, floor_db: float) -> None:
    drawn = [(x, torch.arange(48)[None] * 40) for (x,) in samples((1, 48, 64), count=8)]
    source = ModelSource(Rotary().eval(), drawn[0], "net", calibration=drawn[:6], evaluation=drawn[6:])
    assert converted(source, precision, tmp_path).parity.sqnr_db > floor_db


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.TransformerEncoderLayer])
def test_static_int8_leaves_what_lies_between_the_weights_of_sequence_models(
    tmp_path: Path, layer: type[nn.Module]
) -> None:
    class Sequence(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            attends = layer is nn.TransformerEncoderLayer
            self.layer = layer(32, 2, 64, batch_first=True) if attends else layer(32, 32, batch_first=True)
            self.head = nn.Linear(32, 8)

        def forward(self, x: Tensor) -> Tensor:
            made = self.layer(x)
            return self.head(made[0] if isinstance(made, tuple) else made)

    manifest = converted(noisy_source(Sequence(), (1, 10, 32)), "int8", tmp_path)
    assert manifest.parity.sqnr_db > 25
    outside = {entry.op for entry in manifest.delegation.undelegated}
    assert manifest.delegation.share > 0.97 or outside == {"FILL", "WHILE"}
    assert any("int8-dynamic is smaller there" in said for said in manifest.warnings)


class Sampler(nn.Module):
    """Reads a picture at computed places: a rounded coordinate would pick other pixels."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, image: Tensor, places: Tensor) -> Tensor:
        steps = (places * 15).long().clamp(0, 15)
        return self.conv(image).flatten(2)[:, :, steps[0]]


def test_coordinates_are_not_rounded_to_int8(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    drawn = [(x, torch.rand(1, 20, generator=generator)) for (x,) in samples((1, 3, 8, 8), count=12)]
    source = ModelSource(Sampler().eval(), drawn[0], "net", calibration=drawn[:8], evaluation=drawn[8:])
    assert converted(source, "int8", tmp_path).parity.sqnr_db > 25


class Outliers(nn.Module):
    """One token in sixteen is fifty times as large as the others, as in the feed-forward layers of transformers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(32, 32), nn.Linear(32, 32)

    def forward(self, x: Tensor) -> Tensor:
        gain = torch.ones(16)
        gain[3] = 50.0
        return torch.tanh(self.second(self.first(x) * gain[:, None]))


def test_a_layer_with_outliers_takes_a_scale_for_every_row(tmp_path: Path) -> None:
    manifest = converted(noisy_source(Outliers(), (1, 16, 32)), "int8", tmp_path)
    assert manifest.parity.sqnr_db > 25
    assert "second" in [rule.pattern for rule in manifest.recipe.layers if rule.precision == "int8-dynamic"]
