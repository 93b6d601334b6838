"""Check what a caller gives against what a model takes, before anything is sent anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ashore.errors import InputMismatch
from ashore.types.tensor import Array, TensorSpec

_INT32 = np.iinfo(np.int32)


def accept_inputs(specs: Sequence[TensorSpec], dtypes: Sequence[np.dtype], given: Mapping[str, Array]) -> list[Array]:
    """The arrays in the order of ``specs``, of allowed shape, and castable to ``dtypes`` without loss.

    ``dtypes`` are the file's. They differ from the specs' only where a model of int64 indices became one of int32.

    Raises:
        InputMismatch: naming the input, what was given and what was expected.
    """
    if len(given) != len(specs):
        raise _names_differ(specs, given)
    arrays = []
    for spec, dtype in zip(specs, dtypes, strict=True):
        array = given.get(spec.name)
        if array is None:
            raise _names_differ(specs, given)
        # What fits without a second look is the rule, and the way of every measured run.
        if type(array) is not np.ndarray or array.dtype != dtype or array.shape != spec.shape:
            _check(spec, dtype, array)
        arrays.append(array)
    return arrays


def _check(spec: TensorSpec, dtype: np.dtype, array: Array) -> None:
    if not isinstance(array, (np.ndarray, np.generic)):
        raise InputMismatch(
            f"input {spec.name!r} is a {type(array).__module__}.{type(array).__name__}; expected a numpy array",
            "numpy.asarray(value) makes one",
        )
    if array.shape != spec.shape:
        _check_shape(spec, array)
    if array.dtype != dtype:
        _check_dtype(spec, dtype, array)


def _check_shape(spec: TensorSpec, array: Array) -> None:
    rank_fits = len(array.shape) == len(spec.shape)
    if rank_fits and all(_size_fits(spec, axis, size) for axis, size in enumerate(array.shape)):
        return
    raise InputMismatch(
        f"input {spec.name!r} has shape {list(array.shape)}; expected {describe_shape(spec)}",
        _shape_hint(spec, array),
    )


def _size_fits(spec: TensorSpec, axis: int, size: int) -> bool:
    dim = spec.dynamic.get(axis)
    return dim.minimum <= size <= dim.maximum if dim else size == spec.shape[axis]


def _shape_hint(spec: TensorSpec, array: Array) -> str:
    if (1, *array.shape) == spec.shape:
        return "add the batch dimension: array[None]"
    if len(spec.shape) == 4 and array.shape == tuple(spec.shape[axis] for axis in (0, 2, 3, 1)):
        return "the channels are last here: numpy.moveaxis(array, -1, 1)"
    if len(spec.shape) == 4 and array.shape == tuple(spec.shape[axis] for axis in (0, 3, 1, 2)):
        return "the channels are first here: numpy.moveaxis(array, 1, -1)"
    return "convert the model with dynamic shapes to run it on other sizes" if not spec.dynamic else ""


def _check_dtype(spec: TensorSpec, dtype: np.dtype, array: Array) -> None:
    if array.dtype == np.int64 and dtype == np.int32:
        _check_range(spec, array)
        return
    raise InputMismatch(
        f"input {spec.name!r} is {array.dtype}; expected {dtype}",
        f"cast it first: array.astype(np.{dtype})",
    )


def _check_range(spec: TensorSpec, array: Array) -> None:
    """The file computes in int32 where the model had int64; a value beyond that would silently become another one."""
    if array.size == 0:
        return
    lowest, highest = int(array.min()), int(array.max())
    if lowest < _INT32.min or highest > _INT32.max:
        value = lowest if lowest < _INT32.min else highest
        raise InputMismatch(
            f"input {spec.name!r} holds {value}, which does not fit the int32 that the file takes",
            f"values from {_INT32.min} to {_INT32.max} are allowed",
        )


def _names_differ(specs: Sequence[TensorSpec], given: Mapping[str, Array]) -> InputMismatch:
    names = [spec.name for spec in specs]
    unknown = [name for name in given if name not in names]
    missing = [name for name in names if name not in given]
    parts = [f"unknown input {', '.join(map(repr, unknown))}"] if unknown else []
    parts += [f"missing input {', '.join(map(repr, missing))}"] if missing else []
    takes = ", ".join(f"{spec.name!r} ({spec.dtype} {describe_shape(spec)})" for spec in specs) or "no inputs"
    return InputMismatch("; ".join(parts), f"the model takes {takes}")


def describe_shape(spec: TensorSpec) -> str:
    """``[1, 3, 16]``, with ``1..64`` in place of a size that may vary."""
    sizes = [
        f"{spec.dynamic[axis].minimum}..{spec.dynamic[axis].maximum}" if axis in spec.dynamic else str(size)
        for axis, size in enumerate(spec.shape)
    ]
    return f"[{', '.join(sizes)}]"
