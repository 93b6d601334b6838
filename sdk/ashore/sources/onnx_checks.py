"""What of ONNX is imported; everything else is refused by its name before the work starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ashore.errors import UnsupportedModel

_STANDARD = ("", "ai.onnx")
_OLDEST = 7
"""onnxruntime, which every import is held against, promises nothing for opsets before it."""
_DATA_DECIDES = ("If", "Loop", "Scan")
_NARROW = ("int2", "uint2", "int4", "uint4", "float4", "float8")
_RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")


def check_versions(model: Any) -> None:
    """Raises UnsupportedModel for an opset that the installed onnx does not know, or an operator set of somebody's own.

    Comes before onnx's own checker, which knows no way out.
    """
    import onnx

    newest = onnx.defs.onnx_opset_version()
    for opset in model.opset_import:
        if opset.domain in _STANDARD and not _OLDEST <= opset.version <= newest:
            raise UnsupportedModel(
                f"the model is of ONNX opset {opset.version}; {_OLDEST} to {newest} are known here",
                "export it again with torch.onnx.export(…, opset_version=18), or convert it with "
                "onnx.version_converter",
            )
    for node in model.graph.node:
        if node.domain not in _STANDARD:
            raise UnsupportedModel(
                f"operator {node.op_type} of node {_name(node)} is of the domain {node.domain!r}, not ONNX's own",
                "export the model with standard operators alone, and without the fusions of onnxruntime",
            )


def check_operators(model: Any, *, may_branch: bool = False) -> None:
    """Raises UnsupportedModel for an operator that cannot be imported, with its node and the way out.

    Args:
        may_branch: at sizes that are still open, an If may hang on them alone.
    """
    from onnx2fx.op_registry import is_supported

    version = next((each.version for each in model.opset_import if each.domain in _STANDARD), 1)
    for node in model.graph.node:
        if may_branch and node.op_type == "If":
            continue
        if node.op_type in _DATA_DECIDES:
            _refuse(node, "runs its subgraph as the data decides, which no backend does")
        if node.op_type in _RANDOM:
            _refuse(node, "draws random numbers, so that no file can be held against it")
        if not is_supported(node.op_type, "", version):
            _refuse(node, f"is not imported in opset {version}")
    _check_quantization(model)


def holds_quantization(model: Any) -> bool:
    return any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node)


def _check_quantization(model: Any) -> None:
    """Integers live between QuantizeLinear and DequantizeLinear alone, so that moving them to int8 changes nothing."""
    _refuse_narrow(model)
    quantized = {name for node in model.graph.node if node.op_type == "QuantizeLinear" for name in node.output}
    integers = quantized | set(_constants(model))
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] not in integers:
            _refuse(node, f"takes {node.input[0]!r}, which neither QuantizeLinear nor the file's weights give")
        if node.op_type != "DequantizeLinear" and quantized & set(node.input):
            _refuse(node, "computes with quantized integers")
    if names := quantized & {value.name for value in model.graph.output}:
        raise UnsupportedModel(
            f"the model returns quantized integers: {', '.join(sorted(names))}", "add a DequantizeLinear behind them"
        )


def _refuse_narrow(model: Any) -> None:
    import onnx

    for weight in model.graph.initializer:
        word = onnx.TensorProto.DataType.Name(weight.data_type).lower()
        if word.startswith(_NARROW):
            raise UnsupportedModel(
                f"weight {weight.name!r} of the ONNX model is of {word}: int8 and uint8 with stored scales are kept",
                "quantize the model with QuantFormat.QDQ to int8, or convert the float model with --precision int4",
            )


def _constants(model: Any) -> Iterator[str]:
    yield from (each.name for each in model.graph.initializer)
    yield from (name for node in model.graph.node if node.op_type == "Constant" for name in node.output)


def _refuse(node: Any, reason: str) -> None:
    raise UnsupportedModel(
        f"operator {node.op_type} of ONNX, in node {_name(node)}, {reason}",
        "export the model without it, or convert it from PyTorch: file.py:name",
    )


def _name(node: Any) -> str:
    return repr(node.name or "/".join(node.output))
