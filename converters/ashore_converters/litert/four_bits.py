"""Integers of 4 bits for LiteRT: GPTQ's go into the float file, whose quantizer takes them for the same ones again.

Integers that a model brought along may lack the largest one, by which the quantizer would know them: they are written
into the finished file.

Weights and inputs are the file's own: the lowering multiplies a norm's weight into the matrices behind it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from ashore.interfaces import Progress
from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore.types.tensor import Sample
from ashore_converters.litert.calibrate import opened
from ashore_converters.litert.file import FileOp
from ashore_converters.litert.in_place import WeightsInPlace
from ashore_converters.litert.quantize import FloatFile
from ashore_converters.litert.weights import weights, with_weights

if TYPE_CHECKING:
    from torch import Tensor

    from ashore_converters.rounding import Chosen, Key, See


def round_4bit(file: FloatFile, request: ConversionRequest, progress: Progress) -> tuple[FloatFile, Chosen]:
    """The float file on the grid of GPTQ's choice, wherever that is better than the quantizer's own."""
    from ashore_converters.rounding import Chosen, Matrices, choose_4bit

    if Precision.INT4 not in request.recipe.precisions:
        return file, Chosen()
    found = weights(file, request.recipe, _becomes_4bit)
    matrices: dict[Key, Tensor] = {buffer: weight.values for buffer, weight in found.items()}
    linear = [op for op in file.graph.ops if op.name == "FULLY_CONNECTED"]
    run_file = cache(lambda: opened(file.content, file.graph))  # GPTQ alone asks for it

    def run(sample: Sample, see: See) -> None:
        import torch

        read = run_file()(sample)
        for op in linear:
            see(file.graph.tensors[op.inputs[1]].buffer, torch.from_numpy(read(op.inputs[0])))

    chosen = choose_4bit(request, Matrices(matrices, run), progress)
    values = {buffer: chosen.rounded[buffer].values for buffer in found if buffer in chosen.rounded}
    return with_weights(file, values) if values else file, chosen


def with_held(content: bytes, file: FloatFile, chosen: Chosen) -> bytes:
    """The finished file with the integers that weights came with, by the names that tensors have in both."""
    if not chosen.held:
        return content
    finished = WeightsInPlace(content)
    for graph in (file.graph, *(graph for graph, _ in file.loops)):
        for tensor in graph.tensors:
            if rounded := chosen.held.get(tensor.buffer):
                finished.put_4bit(tensor.name, rounded.integers.numpy(), rounded.scales.numpy())
    return finished.content


def _becomes_4bit(op: FileOp, precision: Precision) -> bool:
    return op.name == "FULLY_CONNECTED" and precision is Precision.INT4
