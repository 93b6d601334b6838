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


def recurrent_file(kind: str, path: Path, *, directions: int = 1, states: int = 0, **options: Any) -> Path:
    """An LSTM or GRU over ``x`` [steps, batch, inputs] with all of its outputs; ``states``: how many are inputs too.

    ``options``: ``steps``, ``batch``, ``inputs``, ``hidden``, the ``lengths`` of sequences, the ``spread`` of random
    weights, whether there is a ``bias``, whether weights are ``quantized`` to int8 (``"x too"``: the input as well),
    and the node's own attributes.
    """
    steps, batch, inputs, hidden = (
        options.pop(name, usual) for name, usual in {"steps": 400, "batch": 2, "inputs": 6, "hidden": 4}.items()
    )
    rows = hidden * (4 if kind == "LSTM" else 3)
    shapes = {"w": (directions, rows, inputs), "r": (directions, rows, hidden), "b": (directions, 2 * rows)}
    shapes = shapes if options.pop("bias", True) else {"w": shapes["w"], "r": shapes["r"]}
    random, spread, lengths = np.random.default_rng(0), options.pop("spread", 0.4), options.pop("lengths", None)
    stored = {name: spread * random.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    quantized = options.pop("quantized", False)
    nodes = _dequantizing(stored) if quantized else []
    nodes += _rounding(stored) if quantized == "x too" else []
    stored |= {} if lengths is None else {"lengths": np.array(lengths, np.int32)}
    names = [
        "x_d" if quantized == "x too" else "x",
        "w",
        "r",
        "b" if "b" in shapes else "",
        "" if lengths is None else "lengths",
        *["h", "c"][:states],
    ]
    state = (directions, batch, hidden)
    outputs = {"y": (steps, *state), "y_h": state} | ({"y_c": state} if kind == "LSTM" else {})
    nodes.append(helper.make_node(kind, names, list(outputs), hidden_size=hidden, **options))
    _save(path, nodes, {"x": (steps, batch, inputs)} | dict.fromkeys(["h", "c"][:states], state), outputs, stored)
    return path


def _dequantizing(stored: dict[str, Any]) -> list[Any]:
    """In place: matrices become int8 with one scale each, and DequantizeLinear gives them back."""
    nodes = []
    for name in ("w", "r"):
        scale = np.abs(stored[name]).max() / 127
        stored[f"{name}_q"] = np.round(stored.pop(name) / scale).astype(np.int8)
        stored |= {f"{name}_s": np.float32(scale), f"{name}_z": np.int8(0)}
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_{part}" for part in "qsz"], [name]))
    return nodes


def _rounding(stored: dict[str, Any]) -> list[Any]:
    """The input to int8 and back."""
    stored |= {"x_s": np.float32(0.03), "x_z": np.int8(0)}
    quantize = helper.make_node("QuantizeLinear", ["x", "x_s", "x_z"], ["x_q"])
    return [quantize, helper.make_node("DequantizeLinear", ["x_q", "x_s", "x_z"], ["x_d"])]


def _save(
    path: Path, nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any], stored: dict[str, Any]
) -> None:
    ends = ([helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in e.items()] for e in (inputs, outputs))
    weights = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()]
    graph = helper.make_graph(nodes, "net", *ends, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
