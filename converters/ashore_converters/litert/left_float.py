"""Weights that the quantizer passes over without a word, though the recipe asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ashore.errors import UnsupportedModel
from ashore.types.precision import Precision
from ashore_converters.litert.file import FileGraph, FileOp, read_graph
from ashore_converters.litert.layers import WEIGHTED
from ashore_converters.litert.quantize import FloatFile, asked_precisions
from ashore_converters.litert.static import StaticFile

_VOLUMES = {"CONV_3D", "CONV_3D_TRANSPOSE"}
_WEIGHT = 1
_SHOWN = 4


def with_left_float_told(file: FloatFile, made: StaticFile) -> StaticFile:
    """``made`` of ``file``, with a warning of the layers whose weights are as they were.

    Raises:
        UnsupportedModel: all of them are.
    """
    wanted = list(_wanted(file, made))
    kept = _float_weights(read_graph(made.content, "the quantized file"))
    left = [op for op in wanted if _weight(op, file.graph) in kept]
    if not left:
        return made
    if len(left) == len(wanted):
        raise UnsupportedModel(
            f"{made.recipe.precision} would change nothing: LiteRT keeps the weights of {_some(left, file)} in fp32",
            f"use --precision {Precision.FP32}",
        )
    told = f"the weights of {_some(left, file)} stay in fp32: LiteRT has no {made.recipe.precision} of them"
    return replace(made, warnings=(*made.warnings, told))


def _wanted(file: FloatFile, made: StaticFile) -> Iterator[FileOp]:
    """Layers that are to be in another precision than they are; loops have subgraphs of their own."""
    weights = _float_weights(file.graph)
    for op, graph, precision in asked_precisions(file, made.recipe):
        layer = graph is file.graph and op.name in WEIGHTED | _VOLUMES
        if layer and precision is not Precision.FP32 and _weight(op, graph) in weights:
            yield op


def _weight(op: FileOp, graph: FileGraph) -> str:
    return graph.tensors[op.inputs[_WEIGHT]].name


def _float_weights(graph: FileGraph) -> frozenset[str]:
    return frozenset(tensor.name for tensor in graph.tensors if tensor.buffer_bytes and tensor.dtype == "float32")


def _some(ops: list[FileOp], file: FloatFile) -> str:
    shown = ", ".join(f"'{file.layers.own(op)}' ({op.name})" for op in ops[:_SHOWN])
    return f"{shown} and {len(ops) - _SHOWN} more" if len(ops) > _SHOWN else shown
