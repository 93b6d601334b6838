"""From a float LiteRT file to a quantized one, operator by operator as the recipe asks."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ashore.errors import LoweringFailed
from ashore.types.precision import Precision
from ashore.types.recipe import Recipe
from ashore_converters.litert.calibrate import Ranges
from ashore_converters.litert.failures import first_line
from ashore_converters.litert.file import FileGraph, FileOp, read_graph, read_loops
from ashore_converters.litert.layers import WEIGHTED, Layers, scope
from ashore_converters.litert.outline import LOOP
from ashore_converters.litert.quiet import quiet

if TYPE_CHECKING:
    import torch
    from litert_quantizer.quantizer import Quantizer

GROUP_SIZES = (32, 64, 128, 256)
"""Weights that may share one scale in a fully connected layer's int4."""


@dataclass(frozen=True)
class FloatFile:
    """A float file with what is known of it, and of the subgraphs that its loops run."""

    content: bytes
    graph: FileGraph
    layers: Layers
    loops: tuple[tuple[FileGraph, Layers], ...] = ()


def open_float_file(content: bytes, model: torch.nn.Module) -> FloatFile:
    graph = read_graph(content, "the float file")
    loops = tuple((loop, Layers(loop, model)) for loop in read_loops(content, LOOP))
    return FloatFile(content, graph, Layers(graph, model), loops)


def quantize(
    file: FloatFile, recipe: Recipe, ranges: Ranges | None = None, kept_float: Set[str] = frozenset()
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

        quantizer = Quantizer(bytearray(file.content))
        _set_everywhere(quantizer, recipe)
        _set_exceptions(quantizer, file, recipe, kept_float)
        try:
            result = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
        except Exception as error:
            raise LoweringFailed(
                f"LiteRT's quantizer failed on {recipe.precision}: {first_line(error)}",
                "try another precision, or keep the layer it names in float with a layer rule",
            ) from error
        return bytes(result.quantized_model)


def quantize_layers(file: FloatFile) -> bytes:
    """The file with int8 weights where PT2E quantizes them: in linear layers and convolutions, not in embeddings."""
    embeddings = frozenset(scope(op, file.graph) for op in file.graph.ops if op.name == "EMBEDDING_LOOKUP")
    return quantize(file, Recipe(Precision.INT8_DYNAMIC), kept_float=embeddings)


def _set_everywhere(quantizer: Quantizer, recipe: Recipe) -> None:
    from litert_quantizer.algorithm_manager import AlgorithmName
    from litert_quantizer.qtyping import TFLOperationName

    _SETTERS[recipe.precision](quantizer, ".*")
    if not recipe.int8_io:
        for edge in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
            quantizer.update_quantization_recipe(".*", edge, algorithm_key=AlgorithmName.NO_QUANTIZE)


def _set_exceptions(quantizer: Quantizer, file: FloatFile, recipe: Recipe, kept_float: Set[str]) -> None:
    """One pattern for all operators of a kind: the quantizer searches every pattern for every operator.

    Later settings win, and one that the quantizer does not know for an operator is passed over.
    """
    scopes: defaultdict[Precision, list[str]] = defaultdict(list)
    matrices: defaultdict[str, list[str]] = defaultdict(list)
    for op, graph, precision in asked_precisions(file, recipe, kept_float):
        scopes[precision].append(scope(op, graph))
        if precision is Precision.INT4 and op.name == "FULLY_CONNECTED":
            matrices[_granularity(op, graph, recipe.group_size)].append(scope(op, graph))
    others = {precision: names for precision, names in scopes.items() if precision is not recipe.precision}
    if others:
        _set_float(quantizer, _pattern(name for names in others.values() for name in names))
    for precision, names in others.items():
        _SETTERS[precision](quantizer, _pattern(names))
    for granularity, names in matrices.items():  # a pattern of their own, as one that was set before keeps its place
        _set_int4(quantizer, granularity, f"(?:(?:{_pattern(names)}))")


def asked_precisions(
    file: FloatFile, recipe: Recipe, kept_float: Set[str] = frozenset()
) -> Iterator[tuple[FileOp, FileGraph, Precision]]:
    """What every operator becomes, with the subgraph that holds it."""
    for op in file.graph.ops:
        kept = scope(op, file.graph) in kept_float
        yield op, file.graph, Precision.FP32 if kept else _precision(op, file.layers, recipe)
    for graph, layers in file.loops:
        yield from ((op, graph, _precision_in_loop(op, layers, recipe)) for op in graph.ops)


def _precision_in_loop(op: FileOp, layers: Layers, recipe: Recipe) -> Precision:
    """Nothing is static there: what a loop carries is float, and ranges are not observed inside of it."""
    asked = _precision(op, layers, recipe)
    if asked is not Precision.INT8:
        return asked
    return Precision.INT8_DYNAMIC if op.name in WEIGHTED else Precision.FP32


def _precision(op: FileOp, layers: Layers, recipe: Recipe) -> Precision:
    """What is asked, except that a table of embeddings, which no activation range concerns, is never static."""
    asked = layers.asked_precision(op, recipe)
    return Precision.INT8_DYNAMIC if asked is Precision.INT8 and op.name == "EMBEDDING_LOOKUP" else asked


def _pattern(names: Iterable[str]) -> str:
    return f"^(?:{'|'.join(map(re.escape, names))})$"


def _set_float(quantizer: Quantizer, pattern: str) -> None:
    from litert_quantizer.algorithm_manager import AlgorithmName

    quantizer.update_quantization_recipe(f"(?:{pattern})", _all(), algorithm_key=AlgorithmName.NO_QUANTIZE)


def _set_half(quantizer: Quantizer, pattern: str) -> None:
    from litert_quantizer.algorithm_manager import AlgorithmName

    quantizer.add_weight_only_config(pattern, _all(), 16, algorithm_key=AlgorithmName.FLOAT_CASTING)


def _set_static(quantizer: Quantizer, pattern: str) -> None:
    quantizer.add_static_config(pattern, _all(), activation_num_bits=8, weight_num_bits=8)


def _set_dynamic(quantizer: Quantizer, pattern: str) -> None:
    quantizer.add_dynamic_config(pattern, _all(), 8)


def _granularity(op: FileOp, graph: FileGraph, group_size: int) -> str:
    """In groups where a row divides into them, otherwise by row."""
    columns = graph.tensors[op.inputs[1]].shape[-1]
    return f"BLOCKWISE_{group_size}" if columns % group_size == 0 else "CHANNELWISE"


def _set_int4(quantizer: Quantizer, granularity: str, pattern: str) -> None:
    from litert_quantizer.qtyping import QuantGranularity, TFLOperationName

    quantizer.add_dynamic_config(pattern, TFLOperationName.FULLY_CONNECTED, 4, QuantGranularity(granularity))


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
"""What a precision means for a pattern. Of ``int4`` only what is no matrix is set here, to int8."""
