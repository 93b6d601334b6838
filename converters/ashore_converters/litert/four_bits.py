"""GPTQ for LiteRT: the float file gets the rounded weights, which its quantizer takes for the same integers again.

Weights and inputs are the file's own: the lowering multiplies a norm's weight into the matrices behind it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ashore.interfaces import Progress
from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore.types.recipe import Recipe
from ashore.types.tensor import Sample
from ashore_converters.litert.calibrate import file_inputs, open_interpreter
from ashore_converters.litert.edit import EditableFile, open_file
from ashore_converters.litert.quantize import FloatFile, asked_precisions
from ashore_converters.litert.quiet import quiet

if TYPE_CHECKING:
    from torch import Tensor

    from ashore_converters.four_bits import FourBits, See


def round_4bit(file: FloatFile, request: ConversionRequest, progress: Progress) -> tuple[FloatFile, FourBits]:
    """The float file on the grid of GPTQ's choice, wherever that is better than the quantizer's own."""
    from ashore_converters.four_bits import FourBits, Matrices, choose_rounding

    if not request.recipe.gains_by_calibration:
        return file, FourBits(request.recipe)
    editable = open_file(file.content)
    weights = dict(_weights(editable, file, request.recipe))
    chosen = choose_rounding(request, Matrices(weights, _runner(file), _nearest), progress)
    for buffer, rounded in chosen.rounded.items():
        editable.model.buffers[buffer].data = np.frombuffer(rounded.values.numpy().tobytes(), np.uint8)
    return replace(file, content=editable.packed()) if chosen.rounded else file, chosen


def _weights(editable: EditableFile, file: FloatFile, recipe: Recipe) -> Iterator[tuple[int, Tensor]]:
    """By their buffer: weights that become 4-bit and that no operator reads as anything else."""
    import torch

    uses: defaultdict[int, set[bool]] = defaultdict(set)
    tensors = {}
    for op, graph, precision in asked_precisions(file, recipe):
        becomes_4bit = op.name == "FULLY_CONNECTED" and precision is Precision.INT4
        for place, index in enumerate(op.inputs):
            tensors[graph.tensors[index].buffer] = graph.tensors[index]
            uses[graph.tensors[index].buffer].add(becomes_4bit and place == 1)
    for buffer in [buffer for buffer, found in uses.items() if found == {True}]:
        data, tensor = editable.model.buffers[buffer].data, tensors[buffer]
        if data is not None and tensor.dtype == "float32":  # else computed, or in a file of more than 2 GB
            yield buffer, torch.from_numpy(np.asarray(data).view(np.float32).reshape(tensor.shape).copy())


def _runner(file: FloatFile) -> Any:
    with quiet():
        interpreter = open_interpreter(file.content, keep_all_tensors=True)
        runner: Any = interpreter.get_signature_runner()
    matrices = [op for op in file.graph.ops if op.name == "FULLY_CONNECTED"]

    def run(sample: Sample, see: See) -> None:
        import torch

        runner(**file_inputs(sample, file.graph))
        for op in matrices:
            weight = file.graph.tensors[op.inputs[1]]
            see(weight.buffer, torch.from_numpy(interpreter.get_tensor(op.inputs[0])))

    return run


def _nearest(weight: Tensor, group_size: int) -> Tensor:
    """As the quantizer does it."""
    import torch

    from ashore_converters.gptq import LARGEST

    groups = weight.reshape(len(weight), -1, group_size)
    scale = (groups.abs().amax(-1, keepdim=True) / LARGEST).clamp_min(1e-9).to(torch.bfloat16).to(torch.float32)
    return ((groups / scale).round().clamp(-LARGEST, LARGEST) * scale).reshape(weight.shape)
