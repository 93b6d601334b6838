"""From a float LiteRT file to a quantized one, operator by operator as the recipe asks."""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from typing import TYPE_CHECKING, Any

from ashore.errors import LoweringFailed
from ashore.types.precision import Precision
from ashore.types.recipe import Recipe
from ashore_converters.litert_calibrate import Ranges
from ashore_converters.litert_failures import first_line
from ashore_converters.litert_file import FileGraph, FileOp
from ashore_converters.litert_layers import asked_precision, modules_of, scope
from ashore_converters.litert_quiet import quiet

if TYPE_CHECKING:
    from litert_quantizer.quantizer import Quantizer

GROUP_SIZES = (32, 64, 128, 256)
"""Weights that may share one scale in a fully connected layer's int4."""


def quantize(
    model: bytes,
    graph: FileGraph,
    recipe: Recipe,
    ranges: Ranges | None = None,
    kept_float: Set[str] = frozenset(),
) -> bytes:
    """The file in the recipe's precisions.

    Args:
        ranges: activation ranges; needed where any operator becomes static int8.
        kept_float: scopes of operators that stay in float whatever the recipe says.

    Raises:
        LoweringFailed: the quantizer refused.
    """
    with quiet():
        from litert_quantizer.quantizer import Quantizer

        quantizer = Quantizer(bytearray(model))
        _set_everywhere(quantizer, recipe)
        for op in graph.ops:
            precision = asked_precision(modules_of(op, graph), recipe)
            in_float = scope(op, graph) in kept_float
            _set_operator(quantizer, op, graph, recipe, Precision.FP32 if in_float else precision)
        try:
            result = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
        except Exception as error:
            raise LoweringFailed(
                f"LiteRT's quantizer failed on {recipe.precision}: {first_line(error)}",
                "try another precision, or keep the layer it names in float with a layer rule",
            ) from error
        return bytes(result.quantized_model)


def quantize_layers(model: bytes, graph: FileGraph) -> bytes:
    """The file with int8 weights where PT2E quantizes them: in linear layers and convolutions, not in embeddings."""
    embeddings = frozenset(scope(op, graph) for op in graph.ops if op.name == "EMBEDDING_LOOKUP")
    return quantize(model, graph, Recipe(Precision.INT8_DYNAMIC), kept_float=embeddings)


def _set_everywhere(quantizer: Quantizer, recipe: Recipe) -> None:
    from litert_quantizer.algorithm_manager import AlgorithmName
    from litert_quantizer.qtyping import TFLOperationName

    _SETTERS[recipe.precision](quantizer, ".*")
    if not recipe.int8_io:
        for edge in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
            quantizer.update_quantization_recipe(".*", edge, algorithm_key=AlgorithmName.NO_QUANTIZE)


def _set_operator(quantizer: Quantizer, op: FileOp, graph: FileGraph, recipe: Recipe, precision: Precision) -> None:
    """Later settings win, and one that the quantizer does not know for an operator is passed over."""
    pattern = f"^{re.escape(scope(op, graph))}$"
    if precision != recipe.precision:
        _SETTERS[Precision.FP32](quantizer, pattern)
        _SETTERS[precision](quantizer, f"(?:{pattern})")
    if precision is Precision.INT4:
        _set_int4(quantizer, op, graph, recipe.group_size, f"(?:(?:{pattern}))")


def _set_float(quantizer: Quantizer, pattern: str) -> None:
    from litert_quantizer.algorithm_manager import AlgorithmName

    quantizer.update_quantization_recipe(pattern, _all(), algorithm_key=AlgorithmName.NO_QUANTIZE)


def _set_half(quantizer: Quantizer, pattern: str) -> None:
    from litert_quantizer.algorithm_manager import AlgorithmName

    quantizer.add_weight_only_config(pattern, _all(), 16, algorithm_key=AlgorithmName.FLOAT_CASTING)


def _set_static(quantizer: Quantizer, pattern: str) -> None:
    quantizer.add_static_config(pattern, _all(), activation_num_bits=8, weight_num_bits=8)


def _set_dynamic(quantizer: Quantizer, pattern: str) -> None:
    quantizer.add_dynamic_config(pattern, _all(), 8)


def _set_int4(quantizer: Quantizer, op: FileOp, graph: FileGraph, group_size: int, pattern: str) -> None:
    """Four bits for matrices, in groups where the row divides into them; other weights stay in the int8 set before."""
    from litert_quantizer.qtyping import QuantGranularity, TFLOperationName

    if op.name != "FULLY_CONNECTED":
        return
    columns = graph.tensors[op.inputs[1]].shape[-1]
    grouped = columns % group_size == 0
    granularity = QuantGranularity(f"BLOCKWISE_{group_size}") if grouped else QuantGranularity.CHANNELWISE
    quantizer.add_dynamic_config(pattern, TFLOperationName.FULLY_CONNECTED, 4, granularity)


def _all() -> Any:
    from litert_quantizer.qtyping import TFLOperationName

    return TFLOperationName.ALL_SUPPORTED


_SETTERS: dict[Precision, Callable[[Any, str], None]] = {
    Precision.FP32: _set_float,
    Precision.FP16: _set_half,
    Precision.INT8: _set_static,
    Precision.INT8_DYNAMIC: _set_dynamic,
    Precision.INT4: _set_dynamic,
}
