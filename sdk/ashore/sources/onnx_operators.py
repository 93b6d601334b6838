"""ONNX operators that are imported in ashore's own way, instead of the importer's.

QuantizeLinear and DequantizeLinear become the operators that PT2E writes, on the int8 grid, so that converters keep
their scales; weights that are multiplied become linear layers, which backends quantize and fuse; a constant index may
count from the end; LSTM and GRU stay whole where PyTorch has the same layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from ashore.errors import UnsupportedModel
from ashore.sources.onnx_nodes import attributes, optional
from ashore.sources.onnx_recurrent import whole

_LOW, _HIGH = -128, 127
_UNSIGNED_SHIFT = 128
"""From uint8 to int8: the zero point moves with the integers, so every real number stays where it was."""


@dataclass(frozen=True)
class _Grid:
    """Scales and zero points of int8, one of each or one for every channel along ``axis``."""

    scale: torch.Tensor
    zero: torch.Tensor
    axis: int
    dtype: torch.dtype
    """Of the file's integers."""

    @property
    def file_zero(self) -> torch.Tensor:
        """Zero points of the file's own integers."""
        return self.zero + _UNSIGNED_SHIFT if self.dtype is torch.uint8 else self.zero

    @property
    def per_channel(self) -> bool:
        return self.scale.dim() > 0 and self.scale.numel() > 1

    def arguments(self, builder: Any) -> tuple[Any, ...]:
        if not self.per_channel:
            return float(self.scale), int(self.zero), _LOW, _HIGH, torch.int8
        scale, zero = (_constant(builder, value) for value in (self.scale, self.zero))
        return scale, zero, self.axis, _LOW, _HIGH, torch.int8

    def along(self, values: torch.Tensor, rank: int) -> torch.Tensor:
        """``values``, one for each channel, shaped to be broadcast against a tensor of ``rank``."""
        shape = [1] * rank
        if self.per_channel:
            shape[self.axis] = -1
        return values.reshape(shape)


def register_operators() -> None:
    """Idempotent; takes the place of the importer's own ways for every opset."""
    import torch.ao.quantization.fx._decomposed  # noqa: F401  # defines the operators of PT2E
    from onnx2fx.op_registry import get_handler_versions, register_op

    own = {"QuantizeLinear": _quantize, "DequantizeLinear": _dequantize, "Gemm": _gemm, "MatMul": _matmul}
    for name, handler in {**own, "Gather": _gather, "Clip": _clip, "LSTM": _recurrent, "GRU": _recurrent}.items():
        for version in get_handler_versions(name):
            register_op(name, handler, "", version)


def _quantize(builder: Any, node: Any) -> Node:
    grid = _grid(builder, node, None)
    stored = builder.initializer_map.get(node.input[0])
    if stored is not None:  # as quantization-aware training exports weights: rounded here, once
        return _keep(builder, node.output[0], _rounded(stored, grid))
    packet = torch.ops.quantized_decomposed
    operator = packet.quantize_per_channel.default if grid.per_channel else packet.quantize_per_tensor.default
    quantized = _call(builder, operator, builder.get_value(node.input[0]), *grid.arguments(builder))
    quantized.meta["ashore_dtype"] = grid.dtype
    return quantized


def _dequantize(builder: Any, node: Any) -> Node:
    stored = builder.initializer_map.get(node.input[0])
    grid = _grid(builder, node, stored)
    if stored is not None and (stored.dtype == torch.int32 or stored.dim() == 0):
        # A bias, whose grid follows from its layer's, or a number such as what a border is padded with.
        real = stored.float() - grid.along(grid.file_zero.float(), stored.dim())
        return _keep(builder, node.output[0], real * grid.along(grid.scale, stored.dim()))
    if stored is not None and grid.per_channel and bool(grid.zero.any()):
        # XNNPACK passes over them without a word, or refuses the file when it is loaded.
        _refuse(
            node, "has a scale for every channel and zero points other than 0 (128 of uint8), which no backend takes"
        )
    value = builder.get_value(node.input[0]) if stored is None else _constant(builder, _as_int8(stored))
    packet = torch.ops.quantized_decomposed
    operator = packet.dequantize_per_channel.default if grid.per_channel else packet.dequantize_per_tensor.default
    return _call(builder, operator, value, *grid.arguments(builder))


def _grid(builder: Any, node: Any, stored: torch.Tensor | None) -> _Grid:
    said = attributes(node)
    scale = builder.initializer_map.get(node.input[1])
    given = builder.initializer_map.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    missing = len(node.input) > 2 and node.input[2] and given is None
    if scale is None or missing or said.get("block_size"):
        _refuse(node, "has scales that are computed, or one for every block of a row")
    dtype = given.dtype if given is not None else stored.dtype if stored is not None else _default(builder, node)
    if dtype not in (torch.int8, torch.uint8) and (dtype is not torch.int32 or stored is None):
        _refuse(node, f"is of {str(dtype).removeprefix('torch.')}")
    zero = torch.zeros(scale.shape, dtype=torch.int64) if given is None else given.long()
    zero = zero - _UNSIGNED_SHIFT if dtype is torch.uint8 else zero
    return _Grid(scale.float(), zero, _positive(said.get("axis", 1), stored), dtype)


def _default(builder: Any, node: Any) -> torch.dtype:
    """Of a node without a zero point: what its partner was quantized to, which ONNX has as uint8."""
    partner = builder.env.get(node.input[0])
    if partner is not None and "ashore_dtype" in partner.meta:
        return partner.meta["ashore_dtype"]  # type: ignore[no-any-return]  # written by _quantize alone
    named = attributes(node).get("output_dtype", 0)
    return {0: torch.uint8, 2: torch.uint8, 3: torch.int8}.get(named, torch.int16)


def _positive(axis: int, stored: torch.Tensor | None) -> int:
    return axis + stored.dim() if axis < 0 and stored is not None else axis


def _rounded(stored: torch.Tensor, grid: _Grid) -> torch.Tensor:
    """ONNX's own rounding, in the file's own integers."""
    whole = torch.round(stored / grid.along(grid.scale, stored.dim())) + grid.along(grid.file_zero, stored.dim())
    bounds = torch.iinfo(grid.dtype)
    return whole.clamp(bounds.min, bounds.max).to(grid.dtype)


def _as_int8(stored: torch.Tensor) -> torch.Tensor:
    return (stored.short() - _UNSIGNED_SHIFT).to(torch.int8) if stored.dtype is torch.uint8 else stored


def _gemm(builder: Any, node: Any) -> Node:
    alpha, beta, crossed_left, crossed_right = factors = _factors(attributes(node))
    left, bias = builder.get_value(node.input[0]), optional(builder, node, 2)
    weight = builder.get_value(node.input[1]) if crossed_right else _transposed(builder, node.input[1])
    if weight is None or crossed_left or not alpha == beta == 1:
        return _call(builder, _general_gemm, left, builder.get_value(node.input[1]), bias, factors)
    stored = builder.initializer_map.get(node.input[2]) if bias is not None else None
    if bias is None or (stored is not None and stored.dim() == 1 and stored.numel() > 1):
        return _call(builder, torch.nn.functional.linear, left, weight, bias)
    return _call(builder, torch.add, _call(builder, torch.nn.functional.linear, left, weight), bias)


def _factors(given: dict[str, Any]) -> tuple[float, float, int, int]:
    return given.get("alpha", 1.0), given.get("beta", 1.0), given.get("transA", 0), given.get("transB", 0)


def _general_gemm(left: Any, right: Any, bias: Any, factors: tuple[float, float, int, int]) -> Any:
    alpha, beta, crossed_left, crossed_right = factors
    product = alpha * torch.matmul(left.T if crossed_left else left, right.T if crossed_right else right)
    return product if bias is None else product + beta * bias


def _matmul(builder: Any, node: Any) -> Node:
    left, weight = builder.get_value(node.input[0]), _transposed(builder, node.input[1])
    if weight is not None:
        return _call(builder, torch.nn.functional.linear, left, weight)
    return _call(builder, torch.matmul, left, builder.get_value(node.input[1]))


def _transposed(builder: Any, name: str) -> Node | None:
    """A stored matrix, its rows as columns, with its grid where it has one; None for what is no stored matrix."""
    stored = builder.initializer_map.get(name)
    if stored is not None:
        return _constant(builder, stored.T.contiguous()) if stored.dim() == 2 else None
    node = builder.env.get(name)
    if node is None or "dequantize" not in str(node.target):
        return None
    source, *grid = node.args
    stored = builder._constants.get(source.target) if source.op == "get_attr" else None
    if stored is None or stored.dim() != 2:
        return None
    if "per_channel" in str(node.target):
        grid[2] = 1 - grid[2]
    return _call(builder, node.target, _constant(builder, stored.T.contiguous()), *grid)


def _gather(builder: Any, node: Any) -> Node:
    axis = attributes(node).get("axis", 0)
    data, index = (builder.get_value(name) for name in node.input[:2])
    return _call(builder, _gathered, data, index, axis, node.input[1] in builder.initializer_map)


def _gathered(data: torch.Tensor, index: torch.Tensor, axis: int, known: bool) -> torch.Tensor:
    axis = axis % data.dim()
    if known:  # others count from the start, as they do in PyTorch, which refuses the rest
        index = torch.where(index < 0, index + data.shape[axis], index)
    index = index.long()
    if data.dim() == 2 and axis == 0 and data.is_floating_point():
        return torch.nn.functional.embedding(index, data)
    picked = torch.index_select(data, axis, index.reshape(-1))
    return picked.reshape((*data.shape[:axis], *index.shape, *data.shape[axis + 1 :]))


def _recurrent(builder: Any, node: Any) -> Node:
    from onnx2fx.ops import recurrent

    unrolled = recurrent.lstm if node.op_type == "LSTM" else recurrent.gru
    return whole(builder, node) or unrolled(builder, node)


def _clip(builder: Any, node: Any) -> Node:
    """Bounds as numbers: backends fuse these into the layer before, and bounds that are tensors into nothing."""
    value = builder.get_value(node.input[0])
    given = attributes(node)  # up to opset 10
    names = dict(zip(("min", "max"), node.input[1:], strict=False))
    for name, source in names.items():
        if source and source not in builder.initializer_map:
            tensors = {each: builder.get_value(name) for each, name in names.items() if name}
            return builder.call_function(torch.clamp, args=(value,), kwargs=tensors)  # type: ignore[no-any-return]
        if source:
            given[name] = builder.initializer_map[source].item()
    return _call(builder, _clipped, value, given.get("min"), given.get("max"))


def _clipped(value: torch.Tensor, low: float | None, high: float | None) -> torch.Tensor:
    if low is None and high is None:
        return value
    if (low, high) == (0, 6):
        return torch.nn.functional.relu6(value)
    if low is None or high is None or not value.is_floating_point():
        return torch.relu(value) if low == 0 and high is None else torch.clamp(value, low, high)
    return torch.nn.functional.hardtanh(value, low, high)


def _constant(builder: Any, value: torch.Tensor) -> Node:
    name = f"ashore_{len(builder._constants)}"
    builder._constants[name] = value
    return builder.graph.get_attr(name)  # type: ignore[no-any-return]  # the importer's graph


def _keep(builder: Any, name: str, value: torch.Tensor) -> Node:
    """A constant that later operators find as they find the file's own."""
    builder.initializer_map[name] = value
    return _constant(builder, value)


def _call(builder: Any, function: Any, *args: Any) -> Node:
    return builder.call_function(function, args=args)  # type: ignore[no-any-return]  # a node of the importer's graph


def _refuse(node: Any, reason: str) -> None:
    raise UnsupportedModel(
        f"{node.op_type} of ONNX, in node {node.name or node.output[0]!r}, {reason}: int8 and uint8 with stored "
        "scales are kept, by tensor or by channel",
        "quantize the model with QuantFormat.QDQ to int8, or convert the float model and let ashore quantize it",
    )
