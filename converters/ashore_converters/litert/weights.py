"""Weights of a float LiteRT file, taken out and put back before the quantizer sees them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ashore.types.precision import Precision
from ashore.types.recipe import Recipe
from ashore_converters.litert.edit import open_file
from ashore_converters.litert.file import FileOp, FileTensor
from ashore_converters.litert.quantize import FloatFile, asked_precisions

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Weight:
    """A weight of ``op``; ``values`` as the file has them, ``options`` as the schema has them, None inside a loop."""

    op: FileOp
    tensor: FileTensor
    values: Tensor
    options: Any
    in_loop: bool


def weights(
    file: FloatFile, recipe: Recipe, wanted: Callable[[FileOp, Precision], bool], kept_float: Set[str] = frozenset()
) -> dict[int, Weight]:
    """By their buffer: those of the ``wanted`` operators that no other operator reads as anything else."""
    editable = open_file(file.content)
    options = dict(zip(file.graph.ops, (op.builtinOptions for op in editable.graph.operators), strict=True))
    uses: defaultdict[int, set[bool]] = defaultdict(set)
    found = {}
    for op, graph, precision in asked_precisions(file, recipe, kept_float):
        for place, index in enumerate(op.inputs):
            tensor = graph.tensors[index]
            is_wanted = wanted(op, precision) and place == 1
            uses[tensor.buffer].add(is_wanted)
            values = _floats(editable.model.buffers[tensor.buffer].data, tensor) if is_wanted else None
            if values is not None:
                in_loop = graph is not file.graph
                found[tensor.buffer] = Weight(op, tensor, values, None if in_loop else options[op], in_loop)
    return {buffer: weight for buffer, weight in found.items() if uses[buffer] == {True}}


def with_weights(file: FloatFile, values: Mapping[int, Tensor]) -> FloatFile:
    """``file`` with other numbers in these buffers."""
    editable = open_file(file.content)
    for buffer, floats in values.items():
        editable.model.buffers[buffer].data = np.frombuffer(floats.contiguous().numpy().tobytes(), np.uint8)
    return replace(file, content=editable.packed())


def _floats(data: Any, tensor: FileTensor) -> Tensor | None:
    """None where they are computed, or in a file of more than 2 GB."""
    import torch

    if data is None or tensor.dtype != "float32":
        return None
    return torch.from_numpy(np.asarray(data).view(np.float32).reshape(tensor.shape).copy())
