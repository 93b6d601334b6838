"""Read what is inside an XNNPACK delegate of a .pte file.

The numbers are those of executorch's ``backends/xnnpack/serialization/schema.fbs``.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass

from ashore_converters.flatbuffer import Budget, root

_HEADER = struct.Struct("<4s4sHIIIQ")
"""Zeros, magic, header length, flatbuffer offset and size, constants' offset and size."""

_MAGIC = b"XH00"
_GRAPH = b"XN"

_UNION = """
none add fully_connected softmax sigmoid transpose clamp conv2d div resize_bilinear2d constant_pad avg_pool2d
minimum depthwise_conv2d max_pool2d multiply subtract floor convert global_avg_pool2d reshape argmax_pool2d
square_root ceiling hardswish leaky_relu maximum negate square elu abs prelu concatenate2 concatenate3
concatenate4 slice scaled_dot_product_attention batch_matrix_multiply concatenate5 conv_transpose2d
reciprocal_square_root log gelu tanh exp sin copy cos
"""
"""Node kinds in the order of the union XNodeUnion, where 0 means none."""

_NODES = _UNION.split()


@dataclass(frozen=True)
class Payload:
    """One delegate: who runs it, its bytes in the file, and its operators by name where they can be read."""

    backend: str
    bytes: int
    ops: Counter[str]


def read_payload(backend: str, data: memoryview, budget: Budget) -> Payload:
    """Operators of other backends than XNNPACK cannot be read; such a delegate counts as one.

    ``budget`` is that of the whole file: delegates may share their data.
    """
    short = backend.removesuffix("Backend").lower()
    if backend != "XnnpackBackend":
        return Payload(short, len(data), Counter({f"{short}:opaque": 1}))
    graph = _flatbuffer(data)
    kinds = [node.u8(0) for node in root(graph, budget).tables(1)] if graph is not None else []
    return Payload(short, len(data), Counter(f"xnnpack:{_name(kind)}" for kind in kinds))


def _flatbuffer(data: memoryview) -> memoryview | None:
    """Behind a header since 2024, without one before."""
    if len(data) < _HEADER.size:
        return None
    _, magic, _, offset, size, _, _ = _HEADER.unpack_from(data, 0)
    if magic == _MAGIC:
        return data[offset : offset + size]
    return data if magic.startswith(_GRAPH) else None


def _name(kind: int) -> str:
    return _NODES[kind] if kind < len(_NODES) else f"node {kind}"
