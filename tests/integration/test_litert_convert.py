"""What a LiteRT file is like: its names, element types, precision and share in the delegate."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import ashore
from ashore import Manifest, ModelSource, Recipe
from conversions import noisy_source, to_litert


class Net(nn.Module):
    """Of each kind of layer that LiteRT treats in its own way: dense, depthwise and pointwise convolution, linear."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 3, 2, 1),
            nn.ReLU6(),
            nn.Conv2d(32, 32, 3, 1, 1, groups=32),
            nn.ReLU6(),
            nn.Conv2d(32, 64, 1),
        )
        self.head = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image).mean((2, 3)))


def source() -> ModelSource:
    return noisy_source(Net(), (1, 3, 32, 32))


def manifest_of(source: ModelSource, precision: str, folder: Path, recipe: Recipe | None = None) -> Manifest:
    manifest = to_litert(source, precision, folder, recipe).manifest
    assert manifest is not None
    return manifest


def weight_bytes(folder: Path, manifest: Manifest) -> int:
    return ashore.inspect(folder / manifest.file.name).contents.bytes_by_part["weights"]


@pytest.mark.parametrize(
    ("precision", "partitions", "floor_db"),
    [("fp32", 1, 100), ("fp16", 1, 60), ("int8", 1, 30), ("int8-dynamic", 2, 40), ("int4", 2, 20)],
)
def test_every_precision_is_close_to_pytorch_and_delegated(
    tmp_path: Path, precision: str, partitions: int, floor_db: float
) -> None:
    manifest = manifest_of(source(), precision, tmp_path)
    assert manifest.parity.sqnr_db > floor_db
    assert manifest.delegation.partitions == partitions
    assert manifest.delegate == "xnnpack"
    assert manifest.versions.keys() >= {"litert_torch", "ai_edge_litert", "litert_quantizer", "torch"}


def test_fewer_bits_make_smaller_weights(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 256))
    words = ("fp32", "fp16", "int8-dynamic", "int4")
    made = ashore.convert(noisy_source(model, (1, 256)), to=["litert"], precisions=words, output=tmp_path)
    sizes = [ashore.inspect(artifact.file).contents.bytes_by_part["weights"] for artifact in made]
    assert [round(sizes[0] / size) for size in sizes] == [1, 2, 4, 7]


def test_a_float_edge_is_the_default_and_an_int8_edge_is_described(tmp_path: Path) -> None:
    floats = manifest_of(source(), "int8", tmp_path / "floats")
    int8 = manifest_of(source(), "int8", tmp_path / "int8", Recipe(int8_io=True))
    assert [spec.dtype for spec in (*floats.inputs, *floats.outputs)] == ["float32", "float32"]
    assert [spec.dtype for spec in (*int8.inputs, *int8.outputs)] == ["int8", "int8"]
    for spec in (*int8.inputs, *int8.outputs):
        assert spec.quantization is not None and spec.quantization.scale > 0


class ManyArguments(nn.Module):
    def forward(self, *parts: Tensor) -> tuple[Tensor, ...]:
        weighted = [part * weight for weight, part in enumerate(parts, 1)]
        return (torch.stack(weighted).sum(0), *weighted[::-1])


def test_a_dozen_inputs_and_outputs_keep_their_places(tmp_path: Path) -> None:
    """Signature lists come back sorted by name, where args_10 stands before args_2."""
    manifest = manifest_of(noisy_source(ManyArguments(), *[(2, 3)] * 12), "fp32", tmp_path)
    assert manifest.parity.sqnr_db > 100
    assert [spec.name for spec in manifest.inputs] == [f"input_{index}" for index in range(12)]
    contents = ashore.inspect(tmp_path / manifest.file.name).contents
    assert [spec.name for spec in contents.inputs] == [spec.name for spec in manifest.inputs]
    assert {spec.name for spec in contents.outputs} == {spec.name for spec in manifest.outputs}


class Lookup(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 16)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        vectors = self.table(tokens)
        return vectors, vectors.sum(-1).argmax(-1)


def test_64_bit_integers_are_32_bit_in_the_file_and_the_manifest_says_so(tmp_path: Path) -> None:
    tokens = [(torch.randint(0, 50, (1, 6), generator=torch.Generator().manual_seed(i)),) for i in range(8)]
    manifest = manifest_of(ModelSource(Lookup().eval(), tokens[0], "net", evaluation=tokens), "fp32", tmp_path)
    assert [spec.dtype for spec in (*manifest.inputs, *manifest.outputs)] == ["int32", "float32", "int32"]
    assert manifest.parity.sqnr_db > 100
    assert ashore.verify(tmp_path / manifest.file.name).identical  # though its golden inputs are PyTorch's, of 64 bits


class SharedOutputs(nn.Module):
    """Outputs that are an input, each other, or used again inside."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(16, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        features = self.body(x).relu()
        return x, features, self.head(features), features


@pytest.mark.parametrize("precision", ["fp32", "int8", "int8-dynamic"])
def test_an_output_may_be_used_again_or_given_twice(tmp_path: Path, precision: str) -> None:
    manifest = manifest_of(noisy_source(SharedOutputs(), (2, 16)), precision, tmp_path)
    assert [round(output.sqnr_db) >= 20 for output in manifest.parity.outputs] == [True] * 4


def test_a_model_is_lowered_once_for_all_its_files(tmp_path: Path) -> None:
    stages: list[str] = []
    ashore.convert(
        source(), to=["litert"], precisions=["fp32", "fp16", "int8-dynamic"], output=tmp_path, progress=stages.append
    )
    assert sum("lowering" in stage for stage in stages) == 1
    assert sum("trying the file" in stage for stage in stages) == 3


def test_nothing_but_ashore_speaks(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither the libraries' prints and progress bars nor what their C++ writes to the descriptors."""
    import logging

    handlers = list(logging.getLogger().handlers)
    capfd.readouterr()
    to_litert(source(), "int8", tmp_path)
    assert tuple(capfd.readouterr()) == ("", "")
    assert logging.getLogger().handlers == handlers


class Resizing(Net):
    """LiteRT has resizing whole, and finds it only in a graph that was traced after the layout's pass."""

    def forward(self, image: Tensor) -> Tensor:
        doubled = nn.functional.interpolate(self.features(image), scale_factor=2.0, mode="bilinear")
        return self.head(doubled.mean((2, 3)))


@pytest.mark.parametrize(("net", "traces"), [(Net, 0), (Resizing, 1)])
def test_a_graph_is_traced_again_only_where_that_makes_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, net: type[nn.Module], traces: int
) -> None:
    from litert_torch._convert.fx_passes import CanonicalizePass

    counted = []
    usual = CanonicalizePass.call
    monkeypatch.setattr(CanonicalizePass, "call", lambda *given: (counted.append(1), usual(*given))[1])
    made = to_litert(noisy_source(net(), (1, 3, 32, 32)), "fp32", tmp_path / "made")
    assert len(counted) == traces
    monkeypatch.setattr("ashore_converters.litert.retrace.hides_an_operator", lambda _target: not traces)
    other = to_litert(noisy_source(net(), (1, 3, 32, 32)), "fp32", tmp_path / "other")
    assert (made.file.read_bytes() == other.file.read_bytes()) is not bool(traces)
