"""Static int8 that stays close to PyTorch and inside the delegate.

What the recipe leaves open is settled here, by measurement on calibration samples only:

- A fully connected layer that makes the scores keeps int8 weights but quantizes its input at run time, so that the
  scores themselves are never rounded to 256 levels, whose ends the calibration samples cannot know.
- Operators that the delegate takes in float but not in int8, and those whose values no scale can hold, stay in float.
- In nets with attention or recurrence only layers with weights become int8: what lies between them loses most and,
  in int8, mostly runs outside the delegate.
- How cautious activation ranges are (see ``litert_calibrate``), and how many of the first layers stay in float (see
  ``sensitivity``), is chosen by the SQNR it gives.

Layers that are treated other than the recipe asked are written into it as layer rules.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ashore.interfaces import Progress
from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore.types.recipe import LayerRule, Recipe
from ashore.types.tensor import Array, Sample
from ashore_converters.litert_calibrate import Observed, Ranges, file_inputs, open_interpreter
from ashore_converters.litert_edit import with_copied_outputs
from ashore_converters.litert_file import FileGraph, FileOp, read_graph
from ashore_converters.litert_layers import ROOT, WEIGHTED, modules_of, scope
from ashore_converters.litert_quantize import quantize
from ashore_converters.litert_quiet import quiet
from ashore_converters.litert_trial import try_file
from ashore_converters.sensitivity import FloatStart, choose_float_start, sqnr_db

if TYPE_CHECKING:
    import torch

MAX_FLOAT_SHARE = 0.1
"""Of a model's multiplications: more float than that at its start could be felt in its latency."""

_MEASURED_SAMPLES = 32
_CAUTIONS = (0.0, 0.5, 1.0)
_DELEGATE_TRIALS = 3
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
    observed = Observed(model, graph, request.calibration)
    recipe = request.recipe if request.recipe.int8_io else _with_float_scores(request.recipe, graph)
    kept = _kept_float(graph, observed, request)
    progress("looking for what the delegate takes in int8")
    kept = _delegated_only(model, graph, recipe, observed.ranges(0), kept)
    progress("measuring ranges and float layers on the calibration samples")
    return _Measured(model, graph, kept, request.calibration[:_MEASURED_SAMPLES]).best(recipe, observed)


def _kept_float(graph: FileGraph, observed: Observed, request: ConversionRequest) -> frozenset[str]:
    huge, indices = observed.unquantizable(), _computing_indices(graph)
    between = any(op.name == "BATCH_MATMUL" for op in graph.ops) or _is_recurrent(request.model)
    return frozenset(
        scope(op, graph)
        for op in graph.ops
        if (between and op.name not in WEIGHTED)
        or op in indices
        or any(graph.tensors[index].name in huge for index in (*op.inputs, *op.outputs))
    )


def _computing_indices(graph: FileGraph) -> list[FileOp]:
    """Operators whose float results become integers, such as coordinates: a rounded one picks the wrong element."""
    makers = {index: op for op in graph.ops for index in op.outputs}
    found: list[FileOp] = []
    wanted = [i for op in graph.ops if op.name == "CAST" and _makes_integers(op, graph) for i in op.inputs]
    while wanted:
        op = makers.get(wanted.pop())
        if op is not None and op not in found and op.name not in WEIGHTED:
            found.append(op)
            wanted.extend(op.inputs)
    return found


def _makes_integers(op: FileOp, graph: FileGraph) -> bool:
    return graph.tensors[op.outputs[0]].dtype.startswith("int")


def _is_recurrent(model: torch.nn.Module) -> bool:
    import torch

    return any(isinstance(layer, torch.nn.RNNBase | torch.nn.RNNCellBase) for layer in model.modules())


def _delegated_only(
    model: bytes, graph: FileGraph, recipe: Recipe, ranges: Ranges, kept: frozenset[str]
) -> frozenset[str]:
    """``kept`` and every operator that in int8 runs outside of the delegate."""
    for _ in range(_DELEGATE_TRIALS):
        content = quantize(model, graph, recipe, ranges, kept)
        outside = _int8_outside_delegate(content) - kept
        if not outside:
            break
        kept |= outside
    return kept


def _int8_outside_delegate(content: bytes) -> frozenset[str]:
    """Scopes, empty where the file does not run at all."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trial.tflite"
        path.write_bytes(content)
        outside = try_file(path).outside
    graph = read_graph(content, "the quantized file")
    ops = [graph.ops[index] for index in outside]
    return frozenset(scope(op, graph) for op in ops if graph.tensors[op.outputs[0]].dtype == "int8")


class _Measured:
    """Quantized files of one model, judged by their outputs on some samples."""

    def __init__(self, model: bytes, graph: FileGraph, kept: frozenset[str], samples: Sequence[Sample]) -> None:
        self._model, self._graph, self._kept = model, graph, kept
        self._inputs = [file_inputs(sample, graph) for sample in samples]
        self._reference = _outputs(model, self._inputs)

    def best(self, recipe: Recipe, observed: Observed) -> StaticFile:
        candidates = [observed.ranges(caution) for caution in _CAUTIONS]
        ranges = max(candidates, key=lambda ranges: self._sqnr_db(recipe, ranges))
        if recipe.int8_io:  # a float start would only add conversions there
            return StaticFile(self._file(recipe, ranges), recipe, ())
        starts = [_rules(ops, self._graph, Precision.FP32) for ops in _starts(self._graph)]
        recipes = [replace(recipe, layers=(*recipe.layers, *rules)) for rules in starts]
        found = choose_float_start(lambda n: self._sqnr_db(recipes[n], ranges), len(recipes) - 1)
        chosen = recipes[found.layers]
        warnings = _told(found, starts[found.layers], len(self._inputs))
        return StaticFile(self._file(chosen, ranges), chosen, warnings)

    def _file(self, recipe: Recipe, ranges: Ranges) -> bytes:
        return quantize(self._model, self._graph, recipe, ranges, self._kept)

    def _sqnr_db(self, recipe: Recipe, ranges: Ranges) -> float:
        """Against the float file; always measured with float edges, which are what can be compared."""
        return sqnr_db(self._reference, _outputs(self._file(replace(recipe, int8_io=False), ranges), self._inputs))


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


def _told(found: FloatStart, rules: Sequence[LayerRule], samples: int) -> tuple[str, ...]:
    if not found.layers:
        return ()
    kept = ", ".join(rule.pattern.replace("\\", "") for rule in rules)
    return (
        f"{kept} stay in fp32: on {samples} calibration samples that raises SQNR from "
        f"{found.int8_sqnr_db:.1f} to {found.sqnr_db:.1f} dB",
    )
