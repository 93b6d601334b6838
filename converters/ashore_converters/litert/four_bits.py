"""GPTQ for LiteRT: the float file gets the rounded weights, which its quantizer takes for the same integers again.

Weights and inputs are the file's own: the lowering multiplies a norm's weight into the matrices behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ashore.interfaces import Progress
from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore.types.recipe import Rounding
from ashore.types.tensor import Sample
from ashore_converters.litert.calibrate import opened
from ashore_converters.litert.file import FileOp
from ashore_converters.litert.quantize import FloatFile
from ashore_converters.litert.weights import weights, with_weights

if TYPE_CHECKING:
    from torch import Tensor

    from ashore_converters.rounding import Chosen, Key, See


def round_4bit(file: FloatFile, request: ConversionRequest, progress: Progress) -> tuple[FloatFile, Chosen]:
    """The float file on the grid of GPTQ's choice, wherever that is better than the quantizer's own."""
    from ashore_converters.rounding import Chosen, Matrices, choose_rounding

    recipe = request.recipe
    if Precision.INT4 not in recipe.precisions or recipe.rounding_of(Precision.INT4) is not Rounding.GPTQ:
        return file, Chosen()
    found = weights(file, recipe, _becomes_4bit)
    matrices: dict[Key, Tensor] = {buffer: weight.values for buffer, weight in found.items()}
    linear = [op for op in file.graph.ops if op.name == "FULLY_CONNECTED"]
    run_file = opened(file.content, file.graph)

    def run(sample: Sample, see: See) -> None:
        import torch

        read = run_file(sample)
        for op in linear:
            see(file.graph.tensors[op.inputs[1]].buffer, torch.from_numpy(read(op.inputs[0])))

    chosen = choose_rounding(request, Matrices(matrices, run), progress)
    values = {buffer: chosen.rounded[buffer].values for buffer in found if buffer in chosen.rounded}
    return with_weights(file, values) if values else file, chosen


def _becomes_4bit(op: FileOp, precision: Precision) -> bool:
    return op.name == "FULLY_CONNECTED" and precision is Precision.INT4
