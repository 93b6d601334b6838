"""Small ONNX files, made as users make them."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import nn


def export(model: nn.Module, path: Path, *args: torch.Tensor, **options: Any) -> Path:
    """By torch's tracing exporter unless ``dynamo=True``, with an input ``x`` and an output ``scores``."""
    named = {"dynamo": False, "opset_version": 17, "input_names": ["x"], "output_names": ["scores"], **options}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it looks for torchvision
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of its own deprecations
        torch.onnx.export(model.eval(), args, path, verbose=False, **named)
    return path


def convolutional() -> nn.Module:
    """With a residual connection, so that one tensor goes to two places."""
    torch.manual_seed(0)
    return _Residual()


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU6())
        self.side = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.ReLU(), nn.Conv2d(16, 16, 1))
        self.wide = nn.Sequential(nn.Conv2d(16, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Linear(64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.start(x)
        return self.head(self.wide(x + self.side(x)).mean((2, 3)))  # type: ignore[no-any-return]  # a tensor


class Transformer(nn.Module):
    """One block over token indices."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(50, 32)
        self.block = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu")
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(self.embed(x)))  # type: ignore[no-any-return]  # a tensor


def quantize(path: Path, shape: tuple[int, ...], *, activations: str = "QInt8", per_channel: bool = True) -> Path:
    """By onnxruntime: statically, as QuantizeLinear and DequantizeLinear."""
    from onnxruntime import quantization as ort

    class Reader(ort.CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
        def __init__(self) -> None:
            random = np.random.default_rng(1)
            self.samples = iter([{"x": random.standard_normal(shape, np.float32)} for _ in range(8)])

        def get_next(self) -> Any:
            return next(self.samples, None)

    made = path.with_name(f"{path.stem}_{activations}.onnx")
    kinds = {"activation_type": getattr(ort.QuantType, activations), "weight_type": ort.QuantType.QInt8}
    ort.quantize_static(path, made, Reader(), quant_format=ort.QuantFormat.QDQ, per_channel=per_channel, **kinds)
    return made


def handmade(path: Path, nodes: list[Any], shape: list[Any] | None, **options: Any) -> Path:
    """A graph from ``x`` to ``y``; ``weights`` are arrays by name, ``out`` the shape of ``y`` if another."""
    kind = options.get("kind", TensorProto.FLOAT)
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", options.get("returned", TensorProto.FLOAT), options.get("out", shape))],
        [onnx.numpy_helper.from_array(value, name) for name, value in options.get("weights", {}).items()],
    )
    opsets = [helper.make_opsetid("", options.get("opset", 17)), helper.make_opsetid("acme", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path
