"""LSTM and GRU of ONNX files, which stay layers; every import is held against onnxruntime as it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("onnx")
pytest.importorskip("onnx2fx")
pytest.importorskip("onnxruntime")

from ashore import UnsupportedModel
from ashore.sources import load_source
from ashore.sources.reset_first import ResetFirstGRU
from onnx_files import export, recurrent_file

STEPS, INPUTS, HIDDEN = 400, 6, 4


def imported(path: Path) -> Any:
    return load_source(str(path)).model


def recurrent(model: Any) -> list[torch.nn.RNNBase]:
    return [layer for layer in model.modules() if isinstance(layer, torch.nn.RNNBase)]


@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU, ResetFirstGRU])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"direction": "reverse"},
        {"direction": "bidirectional", "directions": 2, "states": 2},
        {"states": 1, "activations": ["Sigmoid", "Tanh", "Tanh"]},
        {"lengths": [STEPS, STEPS]},
        {"lengths": [300, 300], "direction": "reverse"},
    ],
    ids=str,
)
def test_a_layer_of_onnx_is_one_layer(kind: type[torch.nn.RNNBase], options: dict[str, Any], tmp_path: Path) -> None:
    if kind is not torch.nn.LSTM:
        options = {**options, "states": min(1, options.get("states", 0))}
        options |= {"activations": options["activations"][:2]} if "activations" in options else {}
        options |= {"linear_before_reset": 1} if kind is torch.nn.GRU else {}
    model = imported(recurrent_file("LSTM" if kind is torch.nn.LSTM else "GRU", tmp_path / "net.onnx", **options))
    (layer,) = recurrent(model)
    assert type(layer) is kind and layer.hidden_size == HIDDEN
    assert layer.bidirectional is (options.get("directions") == 2) and layer.bias is options.get("bias", True)
    assert len(model.graph.nodes) < 25


@pytest.mark.parametrize("options", [{"lengths": [5, 3]}, {"clip": 0.1}], ids=str)
def test_what_the_importer_cannot_say_is_refused(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="not faithful"):
        imported(recurrent_file("LSTM", tmp_path / "net.onnx", steps=5, **options))


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("directions", [1, 2])
def test_quantized_weights_become_a_layer_of_their_real_numbers(kind: str, directions: int, tmp_path: Path) -> None:
    options = {"direction": "bidirectional", "directions": 2} if directions == 2 else {}
    model = imported(recurrent_file(kind, tmp_path / "net.onnx", quantized=True, **options))
    (layer,) = recurrent(model)
    weights = torch.cat([value for name, value in layer.named_parameters() if "weight_hh" in name])
    integers = 127 * weights / weights.abs().max()
    assert (integers - integers.round()).abs().max() < 1e-3
    assert not any("quantized_decomposed" in str(node.target) for node in model.graph.nodes)


def test_states_of_zeros_are_left_to_the_layer(tmp_path: Path) -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(INPUTS, HIDDEN, batch_first=True)

        def forward(self, x: torch.Tensor) -> Any:
            return self.lstm(x)[0]

    model = imported(export(Net(), tmp_path / "net.onnx", torch.randn(2, STEPS, INPUTS)))
    (call,) = model.graph.find_nodes(op="call_module")
    assert call.args[1] is None
