"""GPTQ for int8 in LiteRT: the float file gets the rounded weights, which its quantizer takes for the same integers.

The inputs of the layers are those that the quantized file has, with weights still rounded to the nearest.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING

from ashore.interfaces import Progress
from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore.types.recipe import Recipe, Rounding
from ashore.types.tensor import Sample
from ashore_converters.litert.calibrate import Ranges, file_inputs, file_outputs, opened, real_values
from ashore_converters.litert.file import FileOp, read_graph
from ashore_converters.litert.matrices import MATRICES, Layer
from ashore_converters.litert.quantize import FloatFile, quantize
from ashore_converters.litert.weights import weights, with_weights
from ashore_converters.sensitivity import spread, sqnr_db

if TYPE_CHECKING:
    from torch import Tensor

    from ashore_converters.gptq import Rounded
    from ashore_converters.rounding import Chosen, Key, See

_8_BITS = (Precision.INT8, Precision.INT8_DYNAMIC)


def quantize_rounded(
    file: FloatFile,
    request: ConversionRequest,
    progress: Progress,
    ranges: Ranges | None = None,
    kept_float: Set[str] = frozenset(),
) -> tuple[bytes, Chosen]:
    """As ``quantize``, with GPTQ's integers of 8 bits where the request's recipe asks for them and they are better."""
    chosen = choose_8bit(file, request, progress, ranges, kept_float)
    rounded = with_rounded(file, chosen, request.recipe, kept_float)
    return quantize(rounded, request.recipe, ranges, kept_float), chosen


def choose_8bit(
    file: FloatFile, request: ConversionRequest, progress: Progress, ranges: Ranges | None, kept_float: Set[str]
) -> Chosen:
    """By the buffer of the weight."""
    from ashore_converters.rounding import Chosen, Matrices, choose_rounding

    recipe = request.recipe
    if recipe.rounding_of(Precision.INT8) is not Rounding.GPTQ:
        return Chosen()
    nearest = quantize(file, recipe, ranges, kept_float)
    graph = read_graph(nearest, "the quantized file")
    places = {tensor.name: index for index, tensor in enumerate(graph.tensors)}
    int8 = {tensor.name for tensor in graph.tensors if tensor.dtype == "int8"}
    layers = {
        buffer: layer
        for buffer, layer in _layers(file, recipe, kept_float).items()
        if layer.input.name in places and layer.weight.tensor.name in int8  # the quantizer may know no int8 for it
    }
    matrices: dict[Key, Tensor] = {buffer: layer.matrix for buffer, layer in layers.items()}
    run_file = opened(nearest, graph)

    def run(sample: Sample, see: See) -> None:
        read = run_file(sample)
        for buffer, layer in layers.items():
            see(buffer, layer.rows(real_values(places[layer.input.name], graph, read)))

    inputs = [file_inputs(sample, graph) for sample in spread(request.calibration)]
    reference = file_outputs(file.content, inputs)

    def measure_db(rounded: Mapping[Key, Rounded]) -> float:
        made = quantize(with_rounded(file, Chosen(rounded=rounded), recipe, kept_float), recipe, ranges, kept_float)
        return sqnr_db(reference, file_outputs(made, inputs))

    return choose_rounding(request, Matrices(matrices, run, bits=8, measure_db=measure_db), progress)


def with_rounded(file: FloatFile, chosen: Chosen, recipe: Recipe, kept_float: Set[str]) -> FloatFile:
    """The float file with what was chosen in the place of weights that become int8 by this recipe."""
    if not chosen.rounded:
        return file
    layers = _layers(file, recipe, kept_float)
    values = {buffer: chosen.rounded[buffer].values for buffer in layers if buffer in chosen.rounded}
    return with_weights(file, {buffer: layers[buffer].filed(matrix) for buffer, matrix in values.items()})


def _layers(file: FloatFile, recipe: Recipe, kept_float: Set[str]) -> dict[int, Layer]:
    def becomes_8bit(op: FileOp, precision: Precision) -> bool:
        return op.name in MATRICES and precision in _8_BITS

    found = weights(file, recipe, becomes_8bit, kept_float).items()
    return {buffer: Layer(weight, file.graph) for buffer, weight in found if not weight.in_loop}
