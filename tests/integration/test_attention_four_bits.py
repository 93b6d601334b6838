"""int4 of PyTorch's own attention layers, whose first matrix belongs to no linear layer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import ashore
from ashore import DynamicDim, LayerRule, ModelSource, Precision, Recipe, UnsupportedModel
from ashore.types.manifest import Manifest

BACKENDS = ("executorch", "litert")
ATTENTION, REST = 4 * 64 * 64, 2 * 64 * 128
"""Numbers in the matrices of a layer."""

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and torchao warn of their own deprecations


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.block = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
        self.head = nn.Linear(64, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(x).mean(1))


def made(backend: str, folder: Path, *rules: LayerRule, **more: object) -> Manifest:
    samples = [(torch.randn(1, 16, 64),) for _ in range(6)]
    source = ModelSource(Encoder().eval(), samples[0], "net", calibration=samples, **more)
    [artifact] = ashore.convert(source, to=[backend], recipe=Recipe(Precision.INT4, layers=rules), output=folder)
    assert artifact.manifest is not None
    return artifact.manifest


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_matrices_of_attention_are_held_in_four_bits(backend: str, tmp_path: Path) -> None:
    manifest = made(backend, tmp_path)
    assert manifest.parity.sqnr_db > 15
    assert manifest.file.bytes < (ATTENTION + REST) / 2 + 30_000, "an attention of 8 bits would be 8 kB more"


def test_a_rule_for_attention_holds(tmp_path: Path) -> None:
    manifest = made("executorch", tmp_path, LayerRule(r"block\.self_attn", Precision.FP32))
    assert manifest.file.bytes > 4 * ATTENTION + REST / 2


def test_lengths_may_vary(tmp_path: Path) -> None:
    manifest = made("executorch", tmp_path, dynamic_shapes={"x": {1: DynamicDim("length", 2, 32)}})
    assert manifest.inputs[0].dynamic
    with ashore.open_session(tmp_path / "net.executorch.int4.pte") as session:
        for length in (2, 32):
            x = torch.randn(1, length, 64)
            got = torch.from_numpy(session.run({"x": x.numpy()})["output"])
            assert torch.nn.functional.cosine_similarity(got, Encoder().eval()(x)).item() > 0.97


def test_beside_a_recurrent_layer_it_is_refused_before_the_work(tmp_path: Path) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
            self.memory = nn.GRU(64, 64, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.memory(self.attention(x))[0]

    source = ModelSource(Both().eval(), (torch.randn(1, 16, 64),), "net", calibration="random")
    with pytest.raises(UnsupportedModel) as caught:
        ashore.convert(source, to=["executorch"], precisions=["int4"], output=tmp_path)
    assert caught.value.message == (
        "int4 cannot have 'attention.self_attn' (MultiheadAttention) and 'memory' (recurrent) in one ExecuTorch file"
    )
    assert caught.value.hint == "use --precision int8-dynamic or --to litert"
