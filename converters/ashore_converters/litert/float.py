"""What a static int8 file keeps in float, or quantizes at run time, so that it stays close to PyTorch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from ashore.types.precision import Precision
from ashore.types.recipe import LayerRule, Recipe
from ashore_converters.litert.calibrate import Observed
from ashore_converters.litert.file import FileGraph, FileOp
from ashore_converters.litert.layers import ROOT, WEIGHTED, Layers, scope
from ashore_converters.litert.quantize import FloatFile
from ashore_converters.sensitivity import MAX_LAYERS

if TYPE_CHECKING:
    import torch

MAX_FLOAT_SHARE = 0.1
"""Of a model's multiplications: more float than that at its start could be felt in its latency."""

MIN_GRID_DB = 20.0
"""A tensor that 256 even levels describe worse than this has outliers that waste most of them."""

_NORMALISING = {"RSQRT", "SQRT"}
"""The heart of layer, group and instance norms; a variance in int8 ruins what is divided by it."""

_SCORES = {"SOFTMAX", "LOGISTIC", "LOG_SOFTMAX", "RESHAPE", "SQUEEZE"}
"""Operators that may stand between the layer that makes the scores and the model's output."""


def kept_float(file: FloatFile, observed: Observed, model: torch.nn.Module) -> frozenset[str]:
    """Scopes of operators that no int8 can serve.

    In nets with attention, recurrence or norms that are computed at run time, all that lies between the layers with
    weights: it loses most, and most of it the delegate does not take in int8. Everywhere, masks of minus infinity,
    outliers, and what computes indices.
    """
    graph, huge = file.graph, observed.unquantizable()
    between = is_sequence_model(graph, model) or any(op.name in _NORMALISING for op in graph.ops)
    kept = _computing_indices(graph)
    for op in graph.ops:
        names = [graph.tensors[index].name for index in (*op.inputs, *op.outputs)]
        outliers = op.name not in WEIGHTED and observed.grid_db(names[-1]) < MIN_GRID_DB
        if outliers or (between and op.name not in WEIGHTED) or huge & {*names}:
            kept.add(op)
    return frozenset(scope(op, graph) for op in kept)


def is_sequence_model(graph: FileGraph, model: torch.nn.Module) -> bool:
    import torch

    recurrent = any(isinstance(layer, torch.nn.RNNBase | torch.nn.RNNCellBase) for layer in model.modules())
    return recurrent or any(op.name == "BATCH_MATMUL" for op in graph.ops)


def with_dynamic_layers(recipe: Recipe, file: FloatFile, observed: Observed) -> Recipe:
    """The recipe with a rule for every fully connected layer that should quantize its input at run time.

    Those that make the scores, which then are never rounded to 256 levels whose ends the calibration samples cannot
    know; and those with outliers, which a scale per row, found at run time, confines to their row.
    """
    rules = [*_scores(file), *_outliers(file, observed)]
    return replace(recipe, layers=(*recipe.layers, *dict.fromkeys(rules)))


def _scores(file: FloatFile) -> Iterator[LayerRule]:
    makers = {index: op for op in file.graph.ops for index in op.outputs}
    for _, index in file.graph.outputs:
        op = makers.get(index)
        while op is not None and op.name in _SCORES:
            yield from rules_for([op], file.layers, Precision.FP32)
            op = makers.get(op.inputs[0])
        if op is not None and op.name == "FULLY_CONNECTED":
            yield from rules_for([op], file.layers, Precision.INT8_DYNAMIC)


def _outliers(file: FloatFile, observed: Observed) -> Iterator[LayerRule]:
    for op in file.graph.ops:
        if op.name == "FULLY_CONNECTED" and file.graph.tensors[op.inputs[1]].buffer_bytes:
            ends = (file.graph.tensors[index].name for index in (op.inputs[0], op.outputs[0]))
            if min(observed.grid_db(name) for name in ends) < MIN_GRID_DB:
                yield from rules_for([op], file.layers, Precision.INT8_DYNAMIC)


def float_starts(file: FloatFile) -> list[list[LayerRule]]:
    """Rules that keep no layer, the first, the first two… in float, while they are cheap and in one line."""
    starts: list[list[LayerRule]] = [[]]
    limit = MAX_FLOAT_SHARE * sum(multiplications(op, file.graph) for op in file.graph.ops)
    taken: list[FileOp] = []
    for op in file.graph.ops:
        taken.append(op)
        computed = [i for i in op.inputs if not file.graph.tensors[i].buffer_bytes]
        dear = sum(multiplications(o, file.graph) for o in taken) > limit
        if len(computed) > 1 or dear or op.name == "EMBEDDING_LOOKUP" or not _has_own_module(op, file):
            break
        if op.name in WEIGHTED:
            starts.append(rules_for(taken, file.layers, Precision.FP32))
    return starts[: MAX_LAYERS + 1]


def rules_for(ops: Iterable[FileOp], layers: Layers, precision: Precision) -> list[LayerRule]:
    """One rule for the module of every operator; one of the outermost forward has none that could be named."""
    paths = dict.fromkeys(path for op in ops for path in layers.of(op)[-1:])
    return [LayerRule(re.escape(path), precision) for path in paths if path != ROOT]


def _computing_indices(graph: FileGraph) -> set[FileOp]:
    """Operators whose float results become integers, such as coordinates: a rounded one picks the wrong element."""
    makers = {index: op for op in graph.ops for index in op.outputs}
    found: set[FileOp] = set()
    wanted = [i for op in graph.ops if op.name == "CAST" and _makes_integers(op, graph) for i in op.inputs]
    while wanted:
        op = makers.get(wanted.pop())
        if op is not None and op not in found and op.name not in WEIGHTED:
            found.add(op)
            wanted.extend(op.inputs)
    return found


def _makes_integers(op: FileOp, graph: FileGraph) -> bool:
    return graph.tensors[op.outputs[0]].dtype.startswith("int")


def _has_own_module(op: FileOp, file: FloatFile) -> bool:
    """Whether a layer rule can name ``op`` without naming operators further on."""
    around = {path for other in file.graph.ops for path in file.layers.of(other)}
    own = file.layers.of(op)
    return bool(own) and not any(other.startswith(f"{path}.") for path in own for other in around)


def multiplications(op: FileOp, graph: FileGraph) -> int:
    if op.name not in WEIGHTED or op.name == "EMBEDDING_LOOKUP":
        return 0
    weights, made = graph.tensors[op.inputs[1]].shape, graph.tensors[op.outputs[0]].shape
    return prod(made) * prod(weights) // max(1, weights[-1] if op.name == "DEPTHWISE_CONV_2D" else weights[0])
