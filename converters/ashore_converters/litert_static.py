"""Static int8 that stays close to PyTorch: what the recipe leaves open is settled here, on calibration samples only.

Three things are decided before the file is quantized, and each is written into the recipe as layer rules:

- A fully connected layer that makes the scores keeps int8 weights but quantizes its input at run time, so that the
  scores themselves are never rounded to 256 levels, whose ends the calibration samples cannot know.
- The first layers stay in float where that measurably pays (see ``sensitivity``).
- In nets with attention only layers with weights become int8 (see ``litert_layers``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from ashore.interfaces import Progress
from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore.types.recipe import LayerRule, Recipe
from ashore.types.tensor import Array, Sample
from ashore_converters.litert_calibrate import Ranges, file_inputs, observe, open_interpreter
from ashore_converters.litert_edit import with_copied_outputs
from ashore_converters.litert_file import FileGraph, FileOp, read_graph
from ashore_converters.litert_layers import ROOT, WEIGHTED, modules_of
from ashore_converters.litert_quantize import quantize
from ashore_converters.litert_quiet import quiet
from ashore_converters.sensitivity import FloatStart, choose_float_start, sqnr_db

MAX_FLOAT_SHARE = 0.1
"""Of a model's multiplications: more float than that at its start could be felt in its latency."""

_MEASURED_SAMPLES = 32
_SCORES = {"SOFTMAX", "LOGISTIC", "LOG_SOFTMAX", "RESHAPE", "SQUEEZE"}
"""Operators that may stand between the layer that makes the scores and the model's output."""


@dataclass(frozen=True)
class StaticFile:
    """A quantized file, the recipe that was carried out, and what the user should know of it."""

    model: bytes
    recipe: Recipe
    warnings: tuple[str, ...]


def quantize_static(model: bytes, request: ConversionRequest, progress: Progress) -> StaticFile:
    """``model``: the float file. Raises LoweringFailed where the quantizer refuses."""
    model = with_copied_outputs(model)
    graph = read_graph(model, "the float file")
    progress("observing ranges")
    ranges = observe(model, graph, request.calibration)
    recipe = request.recipe if request.recipe.int8_io else _with_float_scores(request.recipe, graph)
    if request.recipe.layers or request.recipe.int8_io:  # the user has decided which layers are float
        return StaticFile(quantize(model, graph, recipe, ranges), recipe, ())
    progress("measuring which first layers are worth keeping in float")
    return _with_float_start(model, graph, recipe, ranges, request.calibration[:_MEASURED_SAMPLES])


def _with_float_scores(recipe: Recipe, graph: FileGraph) -> Recipe:
    makers = {index: op for op in graph.ops for index in op.outputs}
    rules = []
    for _, index in graph.outputs:
        op = makers.get(index)
        while op is not None and op.name in _SCORES:
            rules += _rules([op], graph, Precision.FP32)
            op = makers.get(op.inputs[0])
        if op is not None and op.name == "FULLY_CONNECTED":
            rules += _rules([op], graph, Precision.INT8_DYNAMIC)
    return replace(recipe, layers=(*recipe.layers, *dict.fromkeys(rules)))


def _with_float_start(
    model: bytes, graph: FileGraph, recipe: Recipe, ranges: Ranges, samples: Sequence[Sample]
) -> StaticFile:
    starts = _starts(graph)
    inputs = [file_inputs(sample, graph) for sample in samples]
    reference = _outputs(model, inputs)
    files: dict[int, bytes] = {}
    recipes = [replace(recipe, layers=(*_rules(ops, graph, Precision.FP32), *recipe.layers)) for ops in starts]

    def measure(layers: int) -> float:
        files[layers] = quantize(model, graph, recipes[layers], ranges)
        return sqnr_db(reference, _outputs(files[layers], inputs))

    found = choose_float_start(measure, len(starts) - 1)
    return StaticFile(files[found.layers], recipes[found.layers], _told(found, recipes[found.layers], len(samples)))


def _starts(graph: FileGraph) -> list[list[FileOp]]:
    """The operators up to and with the first, second… layer with weights, while they are cheap and in one line."""
    starts: list[list[FileOp]] = [[]]
    limit = MAX_FLOAT_SHARE * sum(_multiplications(op, graph) for op in graph.ops)
    taken: list[FileOp] = []
    for op in graph.ops:
        taken.append(op)
        computed = [i for i in op.inputs if not graph.tensors[i].buffer_bytes]
        if (
            len(computed) > 1
            or not _has_own_module(op, graph)
            or sum(_multiplications(o, graph) for o in taken) > limit
        ):
            break
        if op.name in WEIGHTED:
            starts.append(list(taken))
    return starts[:5]


def _has_own_module(op: FileOp, graph: FileGraph) -> bool:
    """Whether a layer rule can name ``op`` without naming operators further on."""
    around = {path for other in graph.ops for path in modules_of(other, graph)}
    own = modules_of(op, graph)
    return bool(own) and not any(other.startswith(f"{path}.") for path in own for other in around)


def _multiplications(op: FileOp, graph: FileGraph) -> int:
    if op.name not in WEIGHTED or op.name == "EMBEDDING_LOOKUP":
        return 0
    weights, made = graph.tensors[op.inputs[1]].shape, graph.tensors[op.outputs[0]].shape
    return prod(made) * prod(weights) // max(1, weights[-1] if op.name == "DEPTHWISE_CONV_2D" else weights[0])


def _rules(ops: Sequence[FileOp], graph: FileGraph, precision: Precision) -> list[LayerRule]:
    """One rule for the module of every operator; one of the outermost forward has none that could be named."""
    paths = dict.fromkeys(path for op in ops for path in modules_of(op, graph)[-1:])
    return [LayerRule(re.escape(path), precision) for path in paths if path != ROOT]


def _outputs(model: bytes, inputs: Sequence[Sample]) -> list[Array]:
    """All outputs on all inputs, sample after sample."""
    with quiet():
        runner: Any = open_interpreter(model).get_signature_runner()
        return [array for sample in inputs for _, array in sorted(runner(**sample).items())]


def _told(found: FloatStart, recipe: Recipe, samples: int) -> tuple[str, ...]:
    if not found.layers:
        return ()
    kept = [rule.pattern.replace("\\", "") for rule in recipe.layers if rule.precision is Precision.FP32]
    return (
        f"the first {found.layers} layers stay in fp32 ({', '.join(kept)}): on {samples} calibration samples that "
        f"raises SQNR from {found.int8_sqnr_db:.1f} to {found.sqnr_db:.1f} dB",
    )
