"""int4 files on both backends: GPTQ's integers are in them, wherever calibration samples show that they are better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ashore
from ashore import DynamicDim, LayerRule, ModelSource, Precision, Recipe, Rounding
from ashore.types.manifest import Manifest
from ashore_converters.gptq import Rounded
from compressed_models import Speller, tie

BACKENDS = ("executorch", "litert")

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and torchao warn of their own deprecations


class Net(nn.Module):
    """A norm whose weight one backend multiplies into the layer behind, and a layer that groups do not divide."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.wide, self.narrow = nn.LayerNorm(64), nn.Linear(64, 96), nn.Linear(96, 40)
        self.last = nn.Linear(40, 24)
        nn.init.uniform_(self.norm.weight, 0.5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.narrow(self.wide(self.norm(x)).relu()).relu())


def inputs(count: int = 24) -> list[tuple[torch.Tensor, ...]]:
    """64 numbers that hang together, so that roundings can make up for one another."""
    generator = torch.Generator().manual_seed(1)
    mix = torch.randn(6, 64, generator=generator)
    return [(torch.randn(20, 6, generator=generator) @ mix,) for _ in range(count)]


def source(model: Any = None, **given: Any) -> ModelSource:
    drawn = inputs()
    samples = {"calibration": drawn[:16], "evaluation": drawn[16:]} | given
    return ModelSource(Net().eval() if model is None else model, drawn[0], "net", **samples)


def converted(made: ModelSource, backend: str, folder: Path, rounding: Rounding = Rounding.AUTO) -> Manifest:
    [artifact] = ashore.convert(
        made, to=[backend], precisions=["int4"], recipe=Recipe(rounding=rounding), output=folder
    )
    assert artifact.manifest is not None
    return artifact.manifest


@pytest.mark.parametrize("backend", BACKENDS)
def test_gptq_brings_the_file_closer_at_the_same_size_and_is_told(backend: str, tmp_path: Path) -> None:
    usual = converted(source(), backend, tmp_path / "usual", Rounding.NEAREST)
    better = converted(source(), backend, tmp_path / "better")
    assert better.parity.sqnr_db > usual.parity.sqnr_db + 3
    assert better.file.bytes == usual.file.bytes
    assert (usual.recipe.rounding, usual.calibration) == (Rounding.NEAREST, None)
    assert better.recipe.rounding is Rounding.GPTQ
    assert better.calibration is not None and better.calibration.samples == 16
    matrices = 2 if backend == "executorch" else 3  # the last one's inputs do not divide into groups
    assert any(f"GPTQ rounds the 4-bit weights of {matrices} of {matrices} layers" in said for said in better.warnings)
    assert not any("GPTQ" in said for said in usual.warnings)


def test_the_integers_in_a_tflite_file_are_gptqs(solved: list[Rounded], tmp_path: Path) -> None:
    converted(source(), "litert", tmp_path)
    held = _int4_tensors(tmp_path / "net.litert.int4.tflite")
    for rounded in solved[1::2]:
        assert any(
            np.array_equal(integers, rounded.integers) and np.array_equal(scales, rounded.scales)
            for integers, scales in held
        )
    assert len(held) == len(solved[1::2]) == 3


def test_the_integers_in_a_pte_file_are_gptqs(solved: list[Rounded], tmp_path: Path) -> None:
    converted(source(), "executorch", tmp_path)
    content = (tmp_path / "net.executorch.int4.pte").read_bytes()
    assert len(solved) == 4
    for rounded in solved[1::2]:
        nibbles = (rounded.integers.numpy() + 8).astype(np.uint8).reshape(-1)
        assert (nibbles[::2] | nibbles[1::2] << 4).tobytes() in content
        halves = rounded.scales.bfloat16().view(torch.int16).numpy()
        assert halves.tobytes() in content or rounded.scales.numpy().tobytes() in content


def four_bit_net() -> tuple[Net, list[torch.Tensor]]:
    """Two of its weights are integers from -8 to 7, given besides, times a scale for each row; some rows lack the
    largest ones."""
    net = Net().eval()
    generator = torch.Generator().manual_seed(5)
    given = []
    with torch.no_grad():
        net.norm.weight.fill_(1.0)
        for layer in (net.wide, net.narrow):
            integers = torch.randint(-8, 8, layer.weight.shape, generator=generator)
            integers[::2].clamp_(-5, 4)
            layer.weight.copy_(integers * torch.rand(len(integers), 1, generator=generator) / 32)
            given.append(integers)
    return net, given


@pytest.mark.parametrize("rounding", [Rounding.AUTO, Rounding.NEAREST])
@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_that_come_in_four_bits_keep_their_integers(backend: str, rounding: Rounding, tmp_path: Path) -> None:
    net, given = four_bit_net()
    manifest = converted(source(net), backend, tmp_path, rounding)
    matrices = 2 if backend == "executorch" else 3
    assert f"the weights of 2 of {matrices} layers come in 4 bits and keep their integers" in manifest.warnings
    content = (tmp_path / f"net.{backend}.int4.{'pte' if backend == 'executorch' else 'tflite'}").read_bytes()
    assert all(_nibbles(integers, backend) in content for integers in given)
    assert manifest.parity.sqnr_db > (35 if backend == "executorch" else 20)  # LiteRT's third matrix is rounded


def _nibbles(integers: torch.Tensor, backend: str) -> bytes:
    """As the file has them, which in ExecuTorch's are moved by 8."""
    flat = integers.numpy().reshape(-1)
    moved = (flat + 8 if backend == "executorch" else flat & 15).astype(np.uint8)
    return (moved[::2] | moved[1::2] << 4).tobytes()


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_calibration_samples_rounding_is_to_the_nearest_and_says_so(backend: str, tmp_path: Path) -> None:
    manifest = converted(source(calibration=None), backend, tmp_path)
    assert manifest.recipe.rounding is Rounding.NEAREST and manifest.calibration is None
    assert any("GPTQ needs 2 calibration samples and has 0" in said for said in manifest.warnings)


@pytest.mark.parametrize("precision", [Precision.INT8_DYNAMIC, Precision.INT8])
def test_a_single_layer_in_four_bits_is_rounded_by_gptq_too(precision: Precision, tmp_path: Path) -> None:
    recipe = Recipe(precision, (LayerRule("wide", Precision.INT4),))
    [artifact] = ashore.convert(source(), to=["litert"], recipe=recipe, output=tmp_path, min_sqnr_db=10)
    assert artifact.manifest is not None
    assert any("GPTQ rounds the 4-bit weights of 1 of 1 layers" in said for said in artifact.manifest.warnings)
    assert len(_int4_tensors(artifact.file)) == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_samples_of_several_lengths_are_learned_from(backend: str, tmp_path: Path) -> None:
    drawn = [(x[: 12 + index % 3],) for index, (x,) in enumerate(inputs())]
    length = {"x": {0: DynamicDim("length", 4, 32)}}
    made = ModelSource(
        Net().eval(), drawn[0], "net", calibration=drawn[:16], evaluation=drawn[16:], dynamic_shapes=length
    )
    manifest = converted(made, backend, tmp_path)
    assert any("GPTQ rounds the 4-bit weights of" in said for said in manifest.warnings)


def test_a_program_that_was_captured_before_is_rounded_as_well(tmp_path: Path) -> None:
    program = torch.export.export(Net().eval(), inputs(1)[0])
    manifest = converted(source(program), "executorch", tmp_path)
    assert any(said.startswith("GPTQ rounds the 4-bit weights of 2 of 2") for said in manifest.warnings)


def test_a_layer_that_shares_its_weight_with_an_embedding_leaves_that_its_numbers(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = [(torch.randint(0, 200, (1, 8), generator=generator),) for _ in range(16)]
    made = ModelSource(tie(Speller()), drawn[0], "net", calibration=drawn[:12], evaluation=drawn[12:])
    usual = converted(made, "litert", tmp_path / "usual", Rounding.NEAREST)
    assert converted(made, "litert", tmp_path / "gptq").parity.sqnr_db > usual.parity.sqnr_db - 0.5


def _int4_tensors(path: Path) -> list[tuple[Any, Any]]:
    """Integers [out, in] and scales [out, groups] of every 4-bit tensor, read with the schema alone."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    graph = model.subgraphs[0]
    return [_unpacked(tensor, model, graph) for tensor in graph.tensors if tensor.type == schema.TensorType.INT4]


def _unpacked(tensor: Any, model: Any, graph: Any) -> tuple[Any, Any]:
    packed = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    nibbles = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1).astype(np.int8)
    integers = np.where(nibbles > 7, nibbles - 16, nibbles)[: int(np.prod(tensor.shape))].reshape(tensor.shape)
    if tensor.quantization.details is None:
        return integers, np.asarray(tensor.quantization.scale, np.float32)[:, None]
    scales = model.buffers[graph.tensors[tensor.quantization.details.scales].buffer].data
    return integers, np.asarray(scales, np.uint8).view(np.float16).astype(np.float32).reshape(len(integers), -1)
