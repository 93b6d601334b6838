"""Which operators only convert or move data, by the names that two engines and PyTorch have for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from ashore.types.profile import GraphCounts


class Kind(StrEnum):
    QUANTIZE = "quantize"
    DEQUANTIZE = "dequantize"
    TRANSPOSE = "transpose"
    COPY = "copy"
    CONVERT = "convert"
    COMPUTE = "compute"


_TRANSPOSES = frozenset({"transpose", "statictranspose", "permute", "t"})
_COPIES = frozenset(
    {
        "copy",
        "clone",
        "slice",
        "staticslice",
        "concat",
        "concatenate",
        "concatenation",
        "cat",
        "stack",
        "pack",
        "unpack",
    }
    | {"split", "evensplit", "splitv", "tile", "repeat", "expand", "broadcast", "staticbroadcast"}
    | {"pad", "padv", "mirror", "staticconstantpad", "contiguous"}
)
_CONVERSION = re.compile(r"\bconvert\b.*?\b([a-z]+\d+)\w*\b.*?\b([a-z]+\d+)")
_FLOATS = ("f32", "f16")


def kind_of(name: str) -> Kind:
    """By words: ``aten::permute_copy.out``, ``StaticTranspose`` and ``Transpose (ND, X32)`` are transposes all."""
    lower = name.lower()
    words = [word.rstrip("0123456789") for word in re.findall(r"[a-z][a-z0-9]*", lower)]
    if any(word.startswith("conv") and word != "convert" for word in words):  # a transposed convolution is none
        return Kind.COMPUTE
    if any(word.startswith("dequant") for word in words):
        return Kind.DEQUANTIZE
    if "quantize" in words or "requantize" in words:
        return Kind.QUANTIZE
    conversion = _CONVERSION.search(lower)
    if conversion:  # XNNPACK's own name: Convert (NC, F32, QS8)
        return Kind.DEQUANTIZE if conversion[2].startswith(_FLOATS) else Kind.QUANTIZE
    if "convert" in words:
        return Kind.CONVERT
    if _TRANSPOSES.intersection(words):
        return Kind.TRANSPOSE
    return Kind.COPY if _COPIES.intersection(words) else Kind.COMPUTE


def count_graph(ops: Mapping[str, int]) -> GraphCounts:
    """A file's operators by name, and how many of them convert or move."""
    totals = dict.fromkeys(Kind, 0)
    for name, count in ops.items():
        totals[kind_of(name)] += count
    return GraphCounts(
        dict(ops),
        quantize=totals[Kind.QUANTIZE],
        dequantize=totals[Kind.DEQUANTIZE],
        transposes=totals[Kind.TRANSPOSE],
        copies=totals[Kind.COPY],
        conversions=totals[Kind.CONVERT],
    )
