"""LSTM and GRU of ONNX files, which stay layers; every import is held against onnxruntime as it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnx2fx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from ashore import UnsupportedModel  # noqa: E402
from ashore.sources import load_source  # noqa: E402

STEPS, BATCH, INPUTS, HIDDEN = 400, 2, 6, 4


def file_of(
    kind: str, path: Path, *, directions: int = 1, bias: bool = True, lengths: Any = None, states: int = 0, **given: Any
) -> Path:
    """One layer over ``x`` [steps, batch, inputs] with all of its outputs; ``states``: how many are inputs too."""
    gates = 4 if kind == "LSTM" else 3
    random = np.random.default_rng(0)
    shapes = {"w": (directions, gates * HIDDEN, INPUTS), "r": (directions, gates * HIDDEN, HIDDEN)}
    shapes |= {"b": (directions, 2 * gates * HIDDEN)} if bias else {}
    stored = {name: 0.4 * random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    stored |= {} if lengths is None else {"lengths": np.array(lengths, np.int32)}
    names = ["x", "w", "r", "b" if bias else "", "lengths" if lengths is not None else "", *["h", "c"][:states]]
    ends = dict.fromkeys(["y_h", "y_c"][: 2 if kind == "LSTM" else 1], (directions, BATCH, HIDDEN))
    outputs = {"y": (STEPS, directions, BATCH, HIDDEN), **ends}
    node = helper.make_node(kind, names, list(outputs), hidden_size=HIDDEN, **given)
    inputs = {"x": (STEPS, BATCH, INPUTS)} | dict.fromkeys(["h", "c"][:states], (directions, BATCH, HIDDEN))
    graph = helper.make_graph(
        [node],
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def imported(path: Path) -> Any:
    return load_source(str(path)).model


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
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
def test_a_layer_of_onnx_is_a_layer_of_pytorch(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    if kind == "GRU":
        options = {**options, "linear_before_reset": 1, "states": min(1, options.get("states", 0))}
        options |= {"activations": options["activations"][:2]} if "activations" in options else {}
    model = imported(file_of(kind, tmp_path / "net.onnx", **options))
    (layer,) = (layer for layer in model.modules() if isinstance(layer, torch.nn.RNNBase))
    assert type(layer) is getattr(torch.nn, kind) and layer.hidden_size == HIDDEN
    assert layer.bidirectional is (options.get("directions") == 2) and layer.bias is options.get("bias", True)
    assert len(model.graph.nodes) < 25


def test_a_gru_that_resets_before_its_product_is_unrolled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "STEPS", 5)
    model = imported(file_of("GRU", tmp_path / "net.onnx"))
    assert not [layer for layer in model.modules() if isinstance(layer, torch.nn.RNNBase)]


@pytest.mark.parametrize("options", [{"lengths": [5, 3]}, {"clip": 0.1}], ids=str)
def test_what_the_importer_cannot_say_is_refused(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "STEPS", 5)
    with pytest.raises(UnsupportedModel, match="not faithful"):
        imported(file_of("LSTM", tmp_path / "net.onnx", **options))


def test_states_of_zeros_are_left_to_the_layer(tmp_path: Path) -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(INPUTS, HIDDEN, batch_first=True)

        def forward(self, x: torch.Tensor) -> Any:
            return self.lstm(x)[0]

    from onnx_files import export

    model = imported(export(Net(), tmp_path / "net.onnx", torch.randn(2, STEPS, INPUTS)))
    (call,) = model.graph.find_nodes(op="call_module")
    assert call.args[1] is None
