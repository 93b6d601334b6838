"""Models as people compress them in PyTorch, each beside the one it was made of."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from ashore import ModelSource

_WIDTH, _WORDS = 512, 2000


@dataclass(frozen=True)
class Compressed:
    """``plain`` and ``make`` take the same inputs; ``precision`` is what the compressed model is converted to."""

    title: str
    plain: Callable[[], nn.Module]
    make: Callable[[nn.Module], Any]
    precision: str
    shape: tuple[int, ...]
    words: int = 0
    """Where inputs are not noise but whole numbers below this."""

    def sources(self) -> tuple[ModelSource, ModelSource]:
        """The model before and after compression, calibrated and judged on the same samples."""
        plain = self.plain().eval()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch and torchao warn of their own deprecations
            compressed = self.make(copy.deepcopy(plain))
        drawn = samples(self.shape, words=self.words)
        return _source(plain, drawn), _source(compressed, drawn)


def perceptron(width: int = _WIDTH) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, 2 * width), nn.ReLU()), nn.Linear(2 * width, 64)
    )


def convolutions(width: int = 32) -> nn.Sequential:
    torch.manual_seed(0)
    stages: list[nn.Module] = []
    for inputs, outputs in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
        stages += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10))


class Speller(nn.Module):
    """Letters in, letters out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.letters, self.mixed = nn.Embedding(_WORDS, 64), nn.Linear(64, 64)
        self.spoken = nn.Linear(64, _WORDS, bias=False)

    def forward(self, letters: Tensor) -> Tensor:
        spoken: Tensor = self.spoken(torch.relu(self.mixed(self.letters(letters))))
        return spoken


def _source(model: Any, drawn: list[tuple[Tensor]]) -> ModelSource:
    return ModelSource(model, drawn[0], "net", calibration=drawn[:12], evaluation=drawn[12:])


def samples(shape: Sequence[int], count: int = 16, words: int = 0) -> list[tuple[Tensor]]:
    generator = torch.Generator().manual_seed(3)
    if words:
        return [(torch.randint(words, tuple(shape), generator=generator),) for _ in range(count)]
    return [(torch.randn(*shape, generator=generator),) for _ in range(count)]


def _pruned(share: float, *, removed: bool) -> Callable[[nn.Module], nn.Module]:
    def make(model: nn.Module) -> nn.Module:
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                prune.l1_unstructured(layer, "weight", share)
                if removed:
                    prune.remove(layer, "weight")
        return model

    return make


def _half_the_channels(model: nn.Module) -> nn.Module:
    """Of every convolution, the half with the largest weights."""
    assert isinstance(model, nn.Sequential)
    kept = torch.arange(3)
    layers: list[nn.Module] = []
    for layer in model:
        if isinstance(layer, nn.Conv2d):
            strongest = layer.weight.abs().sum((1, 2, 3)).topk(layer.out_channels // 2).indices.sort().values
            narrow = nn.Conv2d(len(kept), len(strongest), 3, padding=1)
            narrow.load_state_dict({"weight": layer.weight[strongest][:, kept], "bias": _tensor(layer.bias)[strongest]})
            kept, layer = strongest, narrow
        elif isinstance(layer, nn.Linear):
            head = nn.Linear(len(kept), layer.out_features)
            head.load_state_dict({"weight": layer.weight[:, kept], "bias": _tensor(layer.bias)})
            layer = head
        layers.append(layer)
    return nn.Sequential(*layers)


def _tensor(value: Tensor | None) -> Tensor:
    assert value is not None
    return value


def _low_rank_linear(model: nn.Module) -> nn.Module:
    """Every linear layer as two, of an eighth of its rank."""
    assert isinstance(model, nn.Sequential)
    return nn.Sequential(*(_two_linear(layer) if isinstance(layer, nn.Linear) else layer for layer in model))


def _two_linear(layer: nn.Linear) -> nn.Sequential:
    left, values, right = torch.linalg.svd(layer.weight.detach(), full_matrices=False)
    rank = len(values) // 8
    first, second = nn.Linear(layer.in_features, rank, bias=False), nn.Linear(rank, layer.out_features)
    first.load_state_dict({"weight": right[:rank]})
    second.load_state_dict({"weight": left[:, :rank] * values[:rank], "bias": _tensor(layer.bias)})
    return nn.Sequential(first, second)


def _low_rank_convolutions(model: nn.Module) -> nn.Module:
    """Every wide convolution as one along the rows and one along the columns, of half its channels in between."""
    assert isinstance(model, nn.Sequential)
    wide = [isinstance(layer, nn.Conv2d) and layer.in_channels > 3 for layer in model]
    return nn.Sequential(*(_two_convolutions(layer) if two else layer for layer, two in zip(model, wide, strict=True)))


def _two_convolutions(layer: nn.Module) -> nn.Sequential:
    assert isinstance(layer, nn.Conv2d)
    outputs, inputs, rows, columns = layer.weight.shape
    matrix = layer.weight.detach().permute(1, 2, 0, 3).reshape(inputs * rows, outputs * columns)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    rank = outputs // 2
    down = (left[:, :rank] * values[:rank]).reshape(inputs, rows, rank).permute(2, 0, 1)[..., None]
    across = right[:rank].reshape(rank, outputs, columns).permute(1, 0, 2)[:, :, None]
    first = nn.Conv2d(inputs, rank, (rows, 1), padding=(rows // 2, 0), bias=False)
    second = nn.Conv2d(rank, outputs, (1, columns), padding=(0, columns // 2))
    first.load_state_dict({"weight": down})
    second.load_state_dict({"weight": across, "bias": _tensor(layer.bias)})
    return nn.Sequential(first, second)


def _torchao_4bit(name: str, granularity: str) -> Callable[[nn.Module], nn.Module]:
    """Groups of 32; ``granularity``: what the configuration calls them."""

    def make(model: nn.Module) -> nn.Module:
        from torchao.quantization import PerGroup

        int4: torch.dtype = torch.int4  # type: ignore[attr-defined]  # absent from torch's stubs
        return _torchao(name, weight_dtype=int4, **{granularity: PerGroup(32)})(model)

    return make


def _torchao(name: str, **options: Any) -> Callable[[nn.Module], nn.Module]:
    def make(model: nn.Module) -> nn.Module:
        import torchao.quantization as ao

        ao.quantize_(model, getattr(ao, name)(**options))
        return model

    return make


def _pt2e(*, trained: bool) -> Callable[[nn.Module], Any]:
    """Static int8 of the XNNPACK quantizer, by calibration alone or trained with rounding in place."""

    def make(model: nn.Module) -> Any:
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )
        from torchao.quantization.pt2e import move_exported_model_to_eval
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e, prepare_qat_pt2e

        drawn = samples((1, _WIDTH))
        quantizer = XNNPACKQuantizer().set_global(
            get_symmetric_quantization_config(is_per_channel=True, is_qat=trained)
        )
        graph = torch.export.export(model, drawn[0]).module(check_guards=False)
        prepared = (prepare_qat_pt2e if trained else prepare_pt2e)(graph, quantizer)
        optimizer = torch.optim.SGD(prepared.parameters(), lr=1e-3)
        for sample in drawn[:12]:
            if trained:
                optimizer.zero_grad()
                (prepared(*sample) - model(*sample).detach()).square().mean().backward()
                optimizer.step()
            else:
                prepared(*sample)
        return convert_pt2e(move_exported_model_to_eval(prepared))

    return make


def _packed_dynamic(model: nn.Module) -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


def _onnx(*, quantized: bool) -> Callable[[nn.Module], Any]:
    """By way of a file, as torch exports it, or as onnxruntime then quantizes it on noise."""

    def make(model: nn.Module) -> Any:
        from ashore.sources import load_source
        from onnx_files import export, quantize

        with TemporaryDirectory() as folder:
            path = export(model, Path(folder) / "net.onnx", samples(_LINE, 1)[0][0])
            return load_source(str(quantize(path, _LINE) if quantized else path)).model

    return make


def _distilled(model: nn.Module) -> nn.Module:
    """A student of half the width, taught on noise to answer as its teacher does."""
    torch.manual_seed(1)
    student = nn.Sequential(nn.Linear(_WIDTH, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, _WIDTH), nn.ReLU())
    student.append(nn.Linear(_WIDTH, 64))
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-3)
    for _ in range(100):
        lesson = torch.randn(64, _WIDTH)
        optimizer.zero_grad()
        (student(lesson) - model(lesson).detach()).square().mean().backward()
        optimizer.step()
    return student


def tie(model: nn.Module) -> nn.Module:
    """In place: the last weight becomes the first one."""
    assert isinstance(model, Speller)
    model.spoken.weight = model.letters.weight
    return model


def _adapted(model: nn.Module) -> Any:
    """LoRA of PEFT on every linear layer, not merged."""
    import peft

    layers = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=8, target_modules=layers))  # type: ignore[arg-type]
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                weight.add_(0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(4)))
    return adapted.eval()


def _half(model: nn.Module) -> nn.Module:
    """What is left of the weights after a float16 checkpoint."""
    return model.half().float()


def _bfloat16(model: nn.Module) -> nn.Module:
    """As its checkpoint holds it."""
    return model.to(torch.bfloat16)


_LINE, _PICTURE, _WORD = (1, _WIDTH), (1, 3, 64, 64), (1, 8)
ROWS = (
    Compressed("pruned by half, masks live", perceptron, _pruned(0.5, removed=False), "fp32", _LINE),
    Compressed("pruned to a fifth, masks removed", perceptron, _pruned(0.8, removed=True), "fp32", _LINE),
    Compressed("pruned to a fifth, then int8", perceptron, _pruned(0.8, removed=True), "int8", _LINE),
    Compressed("half the channels removed", convolutions, _half_the_channels, "fp32", _PICTURE),
    Compressed("half the channels removed, then int8", convolutions, _half_the_channels, "int8", _PICTURE),
    Compressed("linear layers of an eighth of the rank", perceptron, _low_rank_linear, "fp32", _LINE),
    Compressed("convolutions factorised", convolutions, _low_rank_convolutions, "fp32", _PICTURE),
    Compressed("distilled into half the width", perceptron, _distilled, "fp32", _LINE),
    Compressed("distilled into half the width, then int8", perceptron, _distilled, "int8", _LINE),
    Compressed("adapters of LoRA", perceptron, _adapted, "fp32", _LINE),
    Compressed("tied to an embedding", Speller, tie, "fp32", _WORD, words=_WORDS),
    Compressed("torchao int8 weights", perceptron, _torchao("Int8WeightOnlyConfig"), "int8-dynamic", _LINE),
    Compressed(
        *("torchao int8 dynamic", perceptron, _torchao("Int8DynamicActivationInt8WeightConfig"), "int8-dynamic", _LINE)
    ),
    Compressed("torchao int4 weights", perceptron, _torchao_4bit("IntxWeightOnlyConfig", "granularity"), "int4", _LINE),
    Compressed(
        "torchao 8da4w",
        perceptron,
        _torchao_4bit("Int8DynamicActivationIntxWeightConfig", "weight_granularity"),
        *("int4", _LINE),
    ),
    Compressed("PT2E, calibrated", perceptron, _pt2e(trained=False), "int8", _LINE),
    Compressed("PT2E, trained (QAT)", perceptron, _pt2e(trained=True), "int8", _LINE),
    Compressed("torch.ao dynamic, packed", perceptron, _packed_dynamic, "int8-dynamic", _LINE),
    Compressed("ONNX float", perceptron, _onnx(quantized=False), "fp32", _LINE),
    Compressed("ONNX QDQ", perceptron, _onnx(quantized=True), "int8", _LINE),
    Compressed("float16 checkpoint", perceptron, _half, "fp16", _LINE),
    Compressed("bfloat16 checkpoint", perceptron, _bfloat16, "fp16", _LINE),
)
