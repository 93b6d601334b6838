"""``file.onnx``: what is read from it, how it is imported, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.reference
import pytest
import torch
from onnx import TensorProto, helper

import ashore
from ashore import UnsupportedModel, UsageError
from ashore.errors import AshoreError
from ashore.sources import load_source, onnx_graph
from ashore.sources.eager import run_eager
from ashore.sources.onnx_proof import proof_floor_db, prove
from ashore.sources.onnx_sizes import memory_refusals_told
from ashore.sources.prepare import PreparedSource, prepare
from onnx_files import Transformer, convolutional, export, handmade, quantize

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")


def prepared(path: Path, **options: Any) -> PreparedSource:
    return prepare(load_source(str(path), **options))


def refusal(path: Path, **options: Any) -> AshoreError:
    with pytest.raises(AshoreError) as caught:
        load_source(str(path), **options)
    return caught.value


def layer_kinds(path: Path, **options: Any) -> list[str]:
    model: Any = load_source(str(path), **options).model
    return [str(node.target) for node in model.graph.nodes if node.op == "call_function"]


def test_names_and_types_come_from_the_file_and_an_open_batch_is_one(tmp_path: Path) -> None:
    path = export(convolutional(), tmp_path / "n.onnx", torch.ones(2, 3, 16, 16), dynamic_axes={"x": {0: "batch"}})
    found = prepared(path)
    assert [(spec.name, spec.shape, spec.dtype) for spec in found.inputs] == [("x", (1, 3, 16, 16), "float32")]
    assert [(spec.name, spec.shape) for spec in found.outputs] == [("scores", (1, 5))]
    assert "the ONNX file leaves dimension 'batch' of 'x' open; it is 1 here" in found.warnings
    assert found.source.name == "n"


def test_a_shape_that_is_given_wins(tmp_path: Path) -> None:
    path = export(convolutional(), tmp_path / "n.onnx", torch.ones(2, 3, 16, 16), dynamic_axes={"x": {0: "batch"}})
    assert prepared(path, shapes=("x=4x3x16x16",)).outputs[0].shape == (4, 5)


@pytest.mark.parametrize(("dynamo", "opset"), [(False, 11), (False, 17), (True, 18), (True, 23)])
def test_opsets_of_both_exporters_give_the_model_s_own_numbers(dynamo: bool, opset: int, tmp_path: Path) -> None:
    model, x = convolutional(), torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    path = export(model, tmp_path / "n.onnx", x, dynamo=dynamo, opset_version=opset)
    with torch.no_grad():
        torch.testing.assert_close(load_source(str(path)).model(x)["scores"], model(x))  # type: ignore[operator]


def test_a_recurrent_model_is_imported(tmp_path: Path) -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.lstm = torch.nn.LSTM(8, 16, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lstm(x)[0][:, -1]  # type: ignore[no-any-return]  # a tensor

    assert prepared(export(Net(), tmp_path / "n.onnx", torch.ones(1, 5, 8))).outputs[0].shape == (1, 16)


def test_layers_are_what_backends_know(tmp_path: Path) -> None:
    """Multiplied weights as linear layers, ReLU6 as itself, nothing left of shapes."""
    kinds = layer_kinds(export(convolutional(), tmp_path / "n.onnx", torch.ones(1, 3, 16, 16)))
    assert kinds.count("aten.conv2d.default") == 4
    assert {"aten.relu6.default", "aten.linear.default"} <= set(kinds)
    kinds = layer_kinds(export(Transformer(), tmp_path / "t.onnx", torch.ones(1, 6, dtype=torch.int64)))
    assert kinds.count("aten.linear.default") == 5
    assert "aten.embedding.default" in kinds


def test_every_layer_has_a_module_that_recipes_can_name(tmp_path: Path) -> None:
    model: Any = load_source(str(export(convolutional(), tmp_path / "n.onnx", torch.ones(1, 3, 16, 16)))).model
    assert {"conv2d", "conv2d_1", "conv2d_2", "conv2d_3", "linear"} <= {name for name, _ in model.named_modules()}


@pytest.mark.parametrize("activations", ["QInt8", "QUInt8"])
def test_quantization_becomes_int8_operators_of_pt2e(activations: str, tmp_path: Path) -> None:
    shape = (1, 3, 16, 16)
    path = quantize(export(convolutional(), tmp_path / "n.onnx", torch.ones(shape)), shape, activations=activations)
    model: Any = load_source(str(path)).model
    kinds = [str(node.target) for node in model.graph.nodes]
    assert kinds.count("quantized_decomposed.dequantize_per_channel.default") == 5
    weights = [value for name, value in model.named_buffers() if name.endswith("weight")]
    assert len(weights) == 5
    assert {value.dtype for value in weights} == {torch.int8}
    quantize_nodes = [n for n in model.graph.nodes if "quantize_per_tensor" in str(n.target)]
    assert quantize_nodes
    assert all(n.args[3:] == (-128, 127, torch.int8) for n in quantize_nodes)
    shared = [n for n in quantize_nodes if ".dequantize" in str(n.target) and len(n.users) > 1]
    assert not shared


def test_weights_that_training_left_in_float_are_rounded_as_onnx_rounds(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weights = {"w": random.standard_normal((8, 4), np.float32), "s": np.full(4, 0.02, np.float32)}
    weights |= {"z": np.full(4, 128, np.uint8)}
    nodes = [
        helper.make_node("QuantizeLinear", ["w", "s", "z"], ["q"], axis=1),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], axis=1),
        helper.make_node("MatMul", ["x", "d"], ["y"]),
    ]
    path = handmade(tmp_path / "n.onnx", nodes, [1, 8], weights=weights, out=[1, 4], opset=19)
    kinds = layer_kinds(path)
    assert kinds == ["quantized_decomposed.dequantize_per_channel.default", "aten.linear.default"]
    x = random.standard_normal((1, 8), np.float32)
    expected = onnx.reference.ReferenceEvaluator(str(path)).run(None, {"x": x})[0]
    model: Any = load_source(str(path)).model
    np.testing.assert_allclose(model(torch.from_numpy(x))["y"].numpy(), expected, rtol=1e-5, atol=1e-6)


def test_names_that_are_alike_stay_apart(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "a.b"], ["t"]), helper.make_node("Mul", ["t", "a/b"], ["y"])]
    weights = {"a.b": np.float32([1, 2]), "a/b": np.float32([3, 4])}
    model: Any = load_source(str(handmade(tmp_path / "n.onnx", nodes, [2], weights=weights))).model
    assert model(torch.zeros(2))["y"].tolist() == [3, 8]


def half(path: Path, **options: Any) -> Path:
    """Every stored and every given number in float16, as ``model.half()`` exports it."""
    return export(convolutional().half(), path, torch.ones(1, 3, 16, 16).half(), **options)


def test_a_file_in_float16_is_read_as_float32_in_the_same_numbers(tmp_path: Path) -> None:
    found = prepared(half(tmp_path / "n.onnx"))
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    assert [spec.dtype for spec in (*found.inputs, *found.outputs)] == ["float32", "float32"]
    with torch.no_grad():
        expected = convolutional().half().float().eval()(x)
        (got,) = found.model(x)
    # Batch norms were folded into convolutions before the weights were rounded again.
    torch.testing.assert_close(got, expected, rtol=1e-2, atol=1e-3)
    assert "the model came in float16: it is read as float32, in which it is judged" in found.warnings


def test_float16_behind_float32_edges_becomes_float32_throughout(tmp_path: Path) -> None:
    weights = {"w": np.random.default_rng(0).standard_normal((8, 4)).astype(np.float16)}
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("MatMul", ["h", "w"], ["m"]),
        helper.make_node("Constant", [], ["two"], value=onnx.numpy_helper.from_array(np.float16(2))),
        helper.make_node("Mul", ["m", "two"], ["t"]),
        helper.make_node("Cast", ["t"], ["y"], to=TensorProto.FLOAT),
    ]
    model: Any = load_source(str(handmade(tmp_path / "n.onnx", nodes, [1, 8], weights=weights, out=[1, 4]))).model
    kinds = [str(node.target) for node in model.graph.nodes if node.op == "call_function"]
    assert kinds == ["aten.linear.default", "aten.mul.Tensor"], "no cast is left"
    x = torch.randn(1, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(model(x)["y"], 2 * x @ torch.from_numpy(weights["w"]).float())


def test_scales_in_float16_keep_their_grid(tmp_path: Path) -> None:
    weights = {"s": np.float16(0.05), "z": np.int8(3)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    kinds = {"kind": TensorProto.FLOAT16, "returned": TensorProto.FLOAT16}
    path = handmade(tmp_path / "n.onnx", nodes, [1, 4], weights=weights, opset=19, **kinds)
    model: Any = load_source(str(path)).model
    scales = [node.args[1] for node in model.graph.nodes if "quantized_decomposed" in str(node.target)]
    assert scales == [float(np.float16(0.05))] * 2


def test_bfloat16_is_refused_where_onnxruntime_cannot_compute_in_it(tmp_path: Path) -> None:
    weight = onnx.helper.make_tensor("w", TensorProto.BFLOAT16, [8, 4], np.zeros(32))
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.BFLOAT16),
        helper.make_node("MatMul", ["h", "w"], ["m"]),
        helper.make_node("Cast", ["m"], ["y"], to=TensorProto.FLOAT),
    ]
    path = handmade(tmp_path / "n.onnx", nodes, [1, 8], out=[1, 4])
    model = onnx.load(path)
    model.graph.initializer.append(weight)
    onnx.save(model, path)
    error = refusal(path)
    assert isinstance(error, UnsupportedModel)
    assert "onnxruntime, which the import is held against, does not open" in error.message
    assert "in float32" in error.hint


def relu(**options: Any) -> Any:
    return helper.make_node("Relu", ["x"], ["y"], name="act", **options)


def grid(zero: Any = None, **options: Any) -> Any:
    """x → QuantizeLinear → DequantizeLinear → y."""
    ends = ["s"] if zero is None else ["s", "z"]
    nodes = [helper.make_node("QuantizeLinear", ["x", *ends], ["q"], name="quant", **options)]
    weights = {"s": np.float32(0.05)} | ({} if zero is None else {"z": zero})
    return [*nodes, helper.make_node("DequantizeLinear", ["q", *ends], ["y"], name="back")], weights


@pytest.mark.parametrize("zero", [None, np.uint8(128), np.int8(3)])
def test_every_form_of_zero_point_keeps_its_grid(zero: Any, tmp_path: Path) -> None:
    """To the last bit: the proof of an import would let a zero point pass that is off by one."""
    nodes, weights = grid(zero)
    path = handmade(tmp_path / "n.onnx", nodes, [1, 64], weights=weights, opset=19)
    x = np.linspace(-9, 9, 64, dtype=np.float32)[None]
    expected = onnx.reference.ReferenceEvaluator(str(path)).run(None, {"x": x})[0]
    model: Any = load_source(str(path)).model
    np.testing.assert_array_equal(model(torch.from_numpy(x))["y"].numpy(), expected)


def test_a_missing_file(tmp_path: Path) -> None:
    error = refusal(tmp_path / "none.onnx")
    assert isinstance(error, UsageError)
    assert f"there is no file {tmp_path / 'none.onnx'}" in error.message
    assert "torch.onnx.export" in error.hint


def test_a_corrupt_file(tmp_path: Path) -> None:
    (tmp_path / "n.onnx").write_bytes(b"\x08\x99garbage" * 20)
    error = refusal(tmp_path / "n.onnx")
    assert isinstance(error, UsageError)
    assert "could not be read as ONNX: DecodeError" in error.message


def test_an_empty_file_is_not_valid(tmp_path: Path) -> None:
    (tmp_path / "n.onnx").touch()
    error = refusal(tmp_path / "n.onnx")
    assert isinstance(error, UsageError)
    assert "is not valid ONNX" in error.message


def test_weights_missing_beside_the_file(tmp_path: Path) -> None:
    path = handmade(
        tmp_path / "n.onnx",
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [1, 512],
        weights={"w": np.ones(512, np.float32)},
    )
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="n.data", size_threshold=0)
    (tmp_path / "n.data").unlink()
    error = refusal(path)
    assert isinstance(error, UsageError)
    assert "could not be read as ONNX" in error.message
    assert "beside it" in error.hint


REFUSED: dict[str, tuple[list[Any], dict[str, Any], str, str]] = {
    "custom": (
        [relu(domain="acme")],
        {},
        "operator Relu of node 'act' is of the domain 'acme', not ONNX's own",
        "standard operators",
    ),
    "new opset": ([relu()], {"opset": 99}, "the model is of ONNX opset 99; 7 to ", "opset_version=18"),
    "old opset": ([relu()], {"opset": 6}, "the model is of ONNX opset 6; 7 to ", "opset_version=18"),
    "unknown operator": (
        [helper.make_node("SequenceMap", ["x"], ["y"], name="odd", body=helper.make_graph([], "b", [], []))],
        {},
        "operator SequenceMap of ONNX, in node 'odd', is not imported in opset 17",
        "file.py:name",
    ),
    "random": (
        [helper.make_node("RandomNormalLike", ["x"], ["y"], name="dice")],
        {},
        "operator RandomNormalLike of ONNX, in node 'dice', draws random numbers",
        "file.py:name",
    ),
    "integers out": (
        grid(np.uint8(0))[0][:1],
        {"weights": grid(np.uint8(0))[1], "returned": TensorProto.UINT8, "rename": True},
        "the model returns quantized integers: q",
        "DequantizeLinear",
    ),
    "computed scales": (
        [
            helper.make_node("ReduceMax", ["x"], ["s"], keepdims=0),
            helper.make_node("QuantizeLinear", ["x", "s"], ["q"], name="quant"),
            helper.make_node("DequantizeLinear", ["q", "s"], ["y"]),
        ],
        {},
        "QuantizeLinear of ONNX, in node 'quant', has scales that are computed",
        "QuantFormat.QDQ",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_imported_is_named_with_the_way_out(case: str, tmp_path: Path) -> None:
    nodes, options, message, hint = REFUSED[case]
    path = handmade(tmp_path / "n.onnx", nodes, [1, 4], **options)
    if "rename" in options:
        model = onnx.load(path)
        model.graph.output[0].name = "q"
        onnx.save(model, path)
    if case == "unknown operator":  # not for onnx's own checker to find first
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(onnx.checker, "check_model", lambda _: None)
            error = refusal(path)
    else:
        error = refusal(path)
    assert isinstance(error, UnsupportedModel)
    assert message in error.message
    assert hint in error.hint


def test_int16_is_refused(tmp_path: Path) -> None:
    nodes, weights = grid(np.int16(0))
    error = refusal(handmade(tmp_path / "n.onnx", nodes, [1, 4], weights=weights, opset=21))
    assert isinstance(error, UnsupportedModel)
    assert "QuantizeLinear of ONNX, in node 'quant', is of int16" in error.message


def test_weights_of_four_bits_are_refused_by_name(tmp_path: Path) -> None:
    node = helper.make_node("DequantizeLinear", ["w", "s"], ["d"])
    nodes, weights = [node, helper.make_node("MatMul", ["x", "d"], ["y"])], {"s": np.float32(0.05)}
    path = handmade(tmp_path / "n.onnx", nodes, [1, 4], weights=weights, opset=21)
    model = onnx.load(path)
    model.graph.initializer.append(helper.make_tensor("w", TensorProto.INT4, [4, 4], [*range(-8, 8)]))
    model.ir_version = 10
    onnx.save(model, path)
    error = refusal(path)
    assert error.message == "weight 'w' of the ONNX model is of int4: int8 and uint8 with stored scales are kept"
    assert "convert the float model with --precision int4" in error.hint


def shifted(path: Path, zero: int, *, channels: int) -> Path:
    """A linear layer of weights in uint8 with that zero point, for the tensor or for each of several channels."""
    weights = {"w": np.arange(16, dtype=np.uint8).reshape(4, 4), "s": np.full(channels, 0.05, np.float32)}
    weights |= {"z": np.full(channels, zero, np.uint8)}
    if channels == 1:
        weights |= {name: weights[name].reshape(()) for name in "sz"}
    nodes = [helper.make_node("DequantizeLinear", ["w", "s", "z"], ["d"], axis=1, name="back")]
    return handmade(path, [*nodes, helper.make_node("MatMul", ["x", "d"], ["y"])], [1, 4], weights=weights, opset=19)


def test_weights_with_zero_points_by_channel_are_refused(tmp_path: Path) -> None:
    error = refusal(shifted(tmp_path / "n.onnx", 120, channels=4))
    assert "in node 'back', has a scale for every channel and zero points other than 0 (128 of uint8)" in error.message
    assert layer_kinds(shifted(tmp_path / "n.onnx", 128, channels=4))


def test_weights_with_a_zero_point_are_refused_on_executorch(tmp_path: Path) -> None:
    path = shifted(tmp_path / "n.onnx", 120, channels=1)
    with pytest.raises(UnsupportedModel, match="quantized with the zero point -8, and XNNPACK's layers") as caught:
        ashore.convert(str(path), to=["executorch"], precisions=["int8"], output=tmp_path)
    assert "or use --to litert" in caught.value.hint


def test_sizes_that_nobody_knows_are_asked_for(tmp_path: Path) -> None:
    error = refusal(handmade(tmp_path / "n.onnx", [relu()], ["batch", 3, "height", 8]))
    assert isinstance(error, UsageError)
    assert "does not say the shape of its input 'x', only x=…x3x…x8:float32" in error.message
    assert "--shape x=…x3x…x8:float32" in error.hint
    assert prepared(tmp_path / "n.onnx", shapes=("x=2x3x4x8",)).outputs[0].shape == (2, 3, 4, 8)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("x=1x5", "input 'x' has shape 1x5, the model takes x=…x4:float32"),
        ("x=1x4:int64", "input 'x' is int64, the model takes float32"),
        ("image=1x4", "the model has no input image"),
        ("x=1..8x4", "was given a range of sizes for x, and .onnx is imported at fixed sizes"),
    ],
)
def test_examples_that_do_not_fit(shape: str, message: str, tmp_path: Path) -> None:
    error = refusal(handmade(tmp_path / "n.onnx", [relu()], ["batch", 4]), shapes=(shape,))
    assert isinstance(error, UsageError)
    assert message in error.message


HUGE = 2**40


def summed(*before: Any) -> list[Any]:
    """y = x + the sum of ``big``, which the operators before it make."""
    nodes = [helper.make_node("ReduceSum", ["big"], ["sum"], keepdims=0), helper.make_node("Add", ["x", "sum"], ["y"])]
    return [*before, *nodes]


HUGE_CONSTANTS = {
    "ConstantOfShape": (["s"], {"s": np.array([HUGE])}, "1099511627776: 4096 GiB"),
    "Expand": (["x", "s"], {"s": np.array([1 << 29, 4])}, "536870912x4: 8 GiB"),
    "Tile": (["x", "s"], {"s": np.array([1 << 29, 1])}, "536870912x4: 8 GiB"),
    "Range": (
        ["a", "b", "c"],
        {"a": np.float32(0), "b": np.float32(1 << 31), "c": np.float32(1)},
        "2147483648: 8 GiB",
    ),
}


@pytest.mark.parametrize("kind", HUGE_CONSTANTS)
def test_a_tensor_that_fits_into_no_file_is_told_before_it_is_computed(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, weights, told = HUGE_CONSTANTS[kind]
    path = handmade(tmp_path / "n.onnx", summed(helper.make_node(kind, inputs, ["big"])), [1, 4], weights=weights)
    monkeypatch.setattr(onnx_graph, "import_graph", lambda *_: pytest.fail("it was computed"))
    error = refusal(path)
    assert isinstance(error, UsageError)
    assert error.message == f"tensor 'big' of the ONNX model has the shape {told}, and a file has room for 2"
    assert "a tensor's size is wrong in the file" in error.hint


def test_memory_that_is_refused_where_nothing_foretold_it_is_told() -> None:
    with (
        pytest.raises(
            UsageError, match="asks for more memory than there is: you tried to allocate 4611686018427387904"
        ),
        memory_refusals_told(),
    ):
        torch.empty(1 << 60)


def test_what_follows_from_sizes_is_computed_beforehand(tmp_path: Path) -> None:
    """A grid as detectors have one: its length is a size of the input."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "axis"], ["width"]),
        helper.make_node("Cast", ["width"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Range", ["zero", "real", "one"], ["grid"]),
        helper.make_node("Add", ["x", "grid"], ["y"]),
    ]
    weights = {"axis": np.int64(1), "zero": np.float32(0), "one": np.float32(1)}
    path = handmade(tmp_path / "n.onnx", nodes, ["batch", "width"], weights=weights)
    found = prepared(path, shapes=("x=2x6",))
    (answer,) = run_eager(found.model, {"x": np.zeros((2, 6), np.float32)}, found.outputs).values()
    assert answer.tolist() == [[0, 1, 2, 3, 4, 5]] * 2


@pytest.mark.parametrize(("width", "expected"), [(4, -1.0), (6, 1.0)])
def test_a_branch_that_hangs_on_a_size_is_taken(width: int, expected: float, tmp_path: Path) -> None:
    def branch(kind: str) -> Any:
        nodes = [helper.make_node(kind, ["x"], ["inner"]), helper.make_node("Neg", ["inner"], ["out"])]
        return helper.make_graph(nodes, kind, [], [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)])

    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "axis"], ["width"]),
        helper.make_node("Equal", ["width", "four"], ["narrow"]),
        helper.make_node("If", ["narrow"], ["y"], then_branch=branch("Identity"), else_branch=branch("Neg")),
    ]
    path = handmade(tmp_path / "n.onnx", nodes, [1, "width"], weights={"axis": np.int64(1), "four": np.int64(4)})
    found = prepared(path, shapes=(f"x=1x{width}",))
    (answer,) = run_eager(found.model, {"x": np.ones((1, width), np.float32)}, found.outputs).values()
    assert answer.tolist() == [[expected] * width]


def test_an_input_that_fits_into_no_memory_is_told(tmp_path: Path) -> None:
    error = refusal(handmade(tmp_path / "n.onnx", [relu()], [HUGE, 4]))
    assert isinstance(error, UsageError)
    assert error.message == "input 'x' of shape 1099511627776x4 takes 16384 GiB, more than is free"


def test_a_size_of_minus_one_is_open(tmp_path: Path) -> None:
    path = handmade(tmp_path / "n.onnx", [relu()], [-1, 4])
    assert prepared(path).inputs[0].shape == (1, 4)
    assert prepared(path, shapes=("x=3x4",)).inputs[0].shape == (3, 4)


def test_a_negative_size_is_told(tmp_path: Path) -> None:
    error = refusal(handmade(tmp_path / "n.onnx", [relu()], [-3, 4]))
    assert isinstance(error, UsageError)
    assert error.message == "input 'x' has shape -3x4 in the file"


@pytest.mark.parametrize("stored", [b"", b"\0" * 16])
def test_weights_of_a_size_that_the_file_does_not_hold_are_not_valid(stored: bytes, tmp_path: Path) -> None:
    path = handmade(tmp_path / "n.onnx", [helper.make_node("Add", ["x", "w"], ["y"])], [1, 4])
    model = onnx.load(path)
    model.graph.initializer.append(
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[HUGE, 4], raw_data=stored or None)
    )
    onnx.save(model, path)
    error = refusal(path)
    assert isinstance(error, UsageError)
    assert "is not valid ONNX: TensorProto (tensor name: w)" in error.message


def test_an_import_that_computes_something_else_is_refused_with_the_figure(tmp_path: Path) -> None:
    class Wrong(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"y": x.relu() + 0.01}

    path = handmade(tmp_path / "n.onnx", [relu()], [1, 64])
    example = {"x": np.random.default_rng(0).standard_normal((1, 64), np.float32)}
    with pytest.raises(UnsupportedModel, match=r"not faithful: output 'y' reaches an SQNR of 3\d\.\d dB against"):
        prove(path, Wrong(), {"x": "x"}, example, proof_floor_db(quantized=False, half=False))


def test_of_scores_that_vanish_no_more_is_asked_than_onnxruntime_keeps_itself(tmp_path: Path) -> None:
    """As a text detector answers to noise: the last bits of a sigmoid that is nearly 0."""
    torch.manual_seed(0)
    last = torch.nn.Conv2d(8, 8, 3)
    torch.nn.init.constant_(last.bias, -20.0)  # type: ignore[arg-type]
    with torch.no_grad():
        last.weight.mul_(8)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), last, torch.nn.Sigmoid())
    path = export(net, tmp_path / "n.onnx", torch.randn(1, 3, 32, 32))
    assert load_source(str(path)).name == "n"

    class Wrong(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"scores": 1.5 * net(x)}

    example = {"x": np.ones((1, 3, 32, 32), np.float32)}
    with pytest.raises(UnsupportedModel, match="not faithful"):
        prove(path, Wrong(), {"x": "x"}, example, proof_floor_db(quantized=False, half=False))
