"""``--shape NAME=1x3x224x224[:float32]``; a size may be a range ``2..128`` for a dimension chosen at run time."""

from __future__ import annotations

import math
import re

import numpy as np

from ashore.errors import UsageError
from ashore.limits import memory_limit_bytes
from ashore.types.tensor import Array, DynamicDim

_GRAMMAR = re.compile(r"(?P<name>\w+)=(?P<sizes>\d+(\.\.\d+)?(x\d+(\.\.\d+)?)*)(:(?P<dtype>\w+))?")
DTYPES = ("float32", "float16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")


def parse_shapes(shapes: tuple[str, ...]) -> tuple[dict[str, Array], dict[str, dict[int, DynamicDim]]]:
    """Example arrays by input name (normal noise; ones for integers) and the dynamic dimensions among them.

    A range's example size is its maximum. Ranges with the same bounds in different inputs are one dimension, as a
    batch or a sequence shared by several inputs is; within one input, as height and width, they vary apart.
    """
    arrays: dict[str, Array] = {}
    dynamic: dict[str, dict[int, DynamicDim]] = {}
    for text in shapes:
        name, sizes, dtype = _parse(text)
        if name in arrays:
            raise UsageError(f"--shape names {name!r} twice", "give each input once")
        arrays[name] = _example([most for _, most in sizes], dtype, text)
        if axes := _dynamic_axes(sizes):
            dynamic[name] = axes
    return arrays, dynamic


def draw(shape: list[int], dtype: str, seed: int = 0) -> Array:
    """Normal noise; ones for integers, as zeros would mask everything in a mask."""
    if dtype.startswith("float"):
        return np.random.default_rng(seed).standard_normal(shape, np.float32).astype(dtype)
    return np.ones(shape, dtype)


def _parse(text: str) -> tuple[str, list[tuple[int, int]], str]:
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise UsageError(f"--shape {text!r} is not of the form NAME=1x3x224x224[:float32]", "for example x=1x3x224x224")
    dtype = match["dtype"] or "float32"
    if dtype not in DTYPES:
        raise UsageError(f"--shape {text!r} asks for dtype {dtype!r}", f"known: {', '.join(DTYPES)}")
    sizes = [_bounds(part, text) for part in match["sizes"].split("x")]
    return match["name"], sizes, dtype


def _bounds(part: str, text: str) -> tuple[int, int]:
    low, _, high = part.partition("..")
    bounds = int(low), int(high or low)
    if bounds[0] < 1 or bounds[1] < bounds[0]:
        raise UsageError(f"--shape {text!r}: {part!r} is not a size", "sizes start at 1; ranges rise, as 2..128")
    return bounds


def _dynamic_axes(sizes: list[tuple[int, int]]) -> dict[int, DynamicDim]:
    axes: dict[int, DynamicDim] = {}
    for axis, (low, high) in enumerate(sizes):
        if low != high:
            earlier = sizes[:axis].count((low, high))
            axes[axis] = DynamicDim(f"dim_{low}_{high}" + (f"_{earlier}" if earlier else ""), low, high)
    return axes


def _example(shape: list[int], dtype: str, text: str) -> Array:
    needed, limit = math.prod(shape) * np.dtype(dtype).itemsize, memory_limit_bytes()
    refusal = UsageError(f"--shape {text!r} asks for {needed:.3g} bytes, which do not fit here", "give smaller sizes")
    if limit is not None and needed > limit:
        raise refusal
    try:
        return draw(shape, dtype)
    except (MemoryError, ValueError) as error:
        raise refusal from error
