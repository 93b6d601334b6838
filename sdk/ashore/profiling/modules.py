"""Which module of the user's PyTorch model an operator that was timed belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ashore.profiling.operators import Kind, kind_of
from ashore.types.conversion import LayerKind, PlacedLayer
from ashore.types.profile import OpCost


def with_modules(ops: Sequence[OpCost], layers: Sequence[PlacedLayer]) -> tuple[OpCost, ...]:
    """``ops`` with the paths of those that have weights; as they are where the two lists do not fit.

    Engines compute layers in the order of the file, so both lists are paired in order; they fit where every pair is
    of one kind and none is left over. Nothing is guessed: one operator more or less, and no path is told.
    """
    kinds = [(index, kind) for index, op in enumerate(ops) if (kind := layer_kind(op.type)) is not None]
    if [kind for _, kind in kinds] != [layer.kind for layer in layers]:
        return tuple(ops)
    paths = {index: layer.path for (index, _), layer in zip(kinds, layers, strict=True)}
    return tuple(replace(op, module=paths.get(index) or None) for index, op in enumerate(ops))


def layer_kind(name: str) -> LayerKind | None:
    """By the names that XNNPACK, ExecuTorch's kernels and LiteRT's give: None for what has no weights."""
    lower = name.lower().replace("_", " ")
    if kind_of(name) is not Kind.COMPUTE or "dynamic" in lower or "batch matrix" in lower:
        return None
    if "deconv" in lower or "transpose conv" in lower:
        return LayerKind.TRANSPOSED
    if "dwconv" in lower or "depthwise" in lower:
        return LayerKind.DEPTHWISE
    dense = ("convolution", "conv 2d", "fully connected", "linear", "addmm")
    return LayerKind.DENSE if any(word in lower for word in dense) else None
