"""Dimensions chosen at run time, which litert_torch itself cannot lower for most operators.

The model is converted twice, at two sizes of every dynamic dimension. Where the two files differ, the difference is
a shape that one of the dimensions went into: a reshape's target gets -1 there, and the tensors' signatures say which
axes may vary. A difference that cannot be expressed this way, such as a table computed for one length, is refused by
name. At run time the interpreter infers every other shape anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ashore.errors import UnsupportedModel
from ashore.types.conversion import ConversionRequest
from ashore.types.tensor import Array, DynamicDim, TensorSpec
from ashore_converters.litert.calibrate import open_interpreter
from ashore_converters.litert.edit import EditableFile, open_file
from ashore_converters.litert.quiet import quiet
from ashore_converters.sensitivity import sqnr_db

_REST = -1
"""In the target of RESHAPE and the size of SLICE: whatever is left."""

_SHAPE_OPERANDS = {"RESHAPE": 1, "SLICE": 2, "STRIDED_SLICE": 2}
"""Operators that take -1 or a bound beyond the end, by the place of that operand."""

_BEYOND_END = np.iinfo(np.int32).max
_EQUAL_DB = 60.0


def at_other_size(request: ConversionRequest) -> ConversionRequest:
    """The same request with an example that has another size in every dynamic dimension."""
    sizes = dict(_other_sizes(request.inputs))
    inputs = tuple(_resized(spec, sizes) for spec in request.inputs)
    example = {spec.name: _tiled(request.example[spec.name], spec.shape) for spec in inputs}
    return replace(request, inputs=inputs, example=example)


def join(model: bytes, other: bytes, request: ConversionRequest, resized: ConversionRequest) -> bytes:
    """One file of ``request``'s example size that takes any size.

    Args:
        model, other: float files of ``request`` and of ``resized``, which came from :func:`at_other_size`.

    Raises:
        UnsupportedModel: the files differ in more than shapes.
    """
    joined = _Pair(model, other, _dimension_names(request)).joined()
    example = {spec.name: resized.example[spec.name] for spec in resized.inputs}
    expected, got = _run(other, example), _run(joined, example)
    if sqnr_db(expected, got) < _EQUAL_DB:
        raise _refusal(_dimension_names(request), "the file computes something else at another size", "the model")
    return joined


class _Pair:
    """The two files, operator by operator."""

    def __init__(self, model: bytes, other: bytes, dimensions: str) -> None:
        self._dimensions = dimensions
        self._first, self._second = open_file(model), open_file(other)
        self._names = [self._first.op_name(op) for op in self._first.graph.operators]
        if self._names != [self._second.op_name(op) for op in self._second.graph.operators]:
            raise _refusal(dimensions, "the operators themselves depend on it", "the model")

    def joined(self) -> bytes:
        self._mark_axes()
        for name, op, same in zip(self._names, self._first.graph.operators, self._second.graph.operators, strict=True):
            for place in self._differing_constants(op, same):
                self._free(name, op, same, place)
        return self._first.packed()

    def _mark_axes(self) -> None:
        first, second = self._first.graph, self._second.graph
        pairs = list(zip(first.inputs, second.inputs, strict=True))
        for op, same in zip(first.operators, second.operators, strict=True):
            pairs += zip((*op.inputs, *op.outputs), (*same.inputs, *same.outputs), strict=True)
        for one, two in pairs:
            if one >= 0:
                _mark(first.tensors[one], second.tensors[two])

    def _differing_constants(self, op: Any, same: Any) -> Iterator[int]:
        for place, (one, two) in enumerate(zip(op.inputs, same.inputs, strict=True)):
            if one >= 0 and not _equal(self._first.constant(one), self._second.constant(two)):
                yield place

    def _free(self, name: str, op: Any, same: Any, place: int) -> None:
        """Give one operator a shape of its own in which what differs is left open."""
        if _SHAPE_OPERANDS.get(name) != place:
            raise self._refusal(f"{name} there holds a constant computed from its size", op)
        one, two = _numbers(self._first, op, place), _numbers(self._second, same, place)
        axes = np.flatnonzero(one != two)
        if name == "RESHAPE" and len(axes) > 1:
            raise self._refusal("RESHAPE there has more than one size to leave open", op)
        if name != "RESHAPE" and not all(
            _reaches_end(name, file, o, axes) for file, o in ((self._first, op), (self._second, same))
        ):
            raise self._refusal(f"{name} there cuts at a place computed from its size", op)
        freed = one.copy()
        freed[axes] = _BEYOND_END if name == "STRIDED_SLICE" else _REST
        inputs = np.array(op.inputs, np.int32)
        inputs[place] = self._first.add_shape(freed, op.inputs[place])
        op.inputs = inputs
        if hasattr(op.builtinOptions, "newShape"):
            op.builtinOptions.newShape = None

    def _refusal(self, reason: str, op: Any) -> UnsupportedModel:
        path = self._first.graph.tensors[op.outputs[0]].name.decode("utf-8", "replace").split(";")[0]
        known = not path.startswith(("(", "serving_default"))
        return _refusal(self._dimensions, reason, f"module '{path}'" if known else "the model")


def _equal(one: Array | None, two: Array | None) -> bool:
    return one is two if one is None or two is None else one.tobytes() == two.tobytes()


def _numbers(file: EditableFile, op: Any, place: int) -> NDArray[np.int32]:
    constant = file.constant(op.inputs[place])
    assert constant is not None
    return np.frombuffer(constant.tobytes(), np.int32)


def _reaches_end(name: str, file: EditableFile, op: Any, axes: NDArray[np.intp]) -> bool:
    begin, shape = _numbers(file, op, 1), file.graph.tensors[op.inputs[0]].shape
    end = _numbers(file, op, 2) + (begin if name == "SLICE" else 0)
    return all(end[axis] == shape[axis] for axis in axes)


def _mark(tensor: Any, other: Any) -> None:
    shape, same = _shape(tensor), _shape(other)
    if len(shape) == len(same) and shape != same:
        tensor.shapeSignature = np.array([a if a == b else -1 for a, b in zip(shape, same, strict=True)], np.int32)


def _shape(tensor: Any) -> tuple[int, ...]:
    return () if tensor.shape is None else tuple(int(size) for size in tensor.shape)


def _refusal(dimensions: str, reason: str, where: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"{dimensions} cannot vary in a LiteRT file: in {where}, {reason}",
        "keep the dimension fixed and pad shorter inputs (with a mask if the model takes one), or use --to executorch",
    )


def _dimension_names(request: ConversionRequest) -> str:
    names = dict.fromkeys(dim.name for spec in request.inputs for dim in spec.dynamic.values())
    return f"dimension {' and '.join(map(repr, names))}"


def _other_sizes(inputs: tuple[TensorSpec, ...]) -> Iterator[tuple[str, int]]:
    """A size for each dimension that no dimension has yet, so that they can be told apart."""
    dims: dict[str, tuple[DynamicDim, int]] = {
        dim.name: (dim, spec.shape[axis]) for spec in inputs for axis, dim in spec.dynamic.items()
    }
    taken = {size for _, size in dims.values()}
    for name, (dim, own) in dims.items():
        free = [size for size in range(dim.maximum, max(1, dim.minimum - 1), -1) if size not in taken]
        size = free[len(free) // 2] if free else (dim.minimum if own != dim.minimum else dim.maximum)
        taken.add(size)
        yield name, size


def _resized(spec: TensorSpec, sizes: Mapping[str, int]) -> TensorSpec:
    shape = [sizes[spec.dynamic[axis].name] if axis in spec.dynamic else size for axis, size in enumerate(spec.shape)]
    return replace(spec, shape=tuple(shape))


def _tiled(array: Array, shape: tuple[int, ...]) -> Array:
    """``array`` repeated and cut to ``shape``."""
    repeats = [-(-size // own) for size, own in zip(shape, array.shape, strict=True)]
    return np.ascontiguousarray(np.tile(array, repeats)[tuple(slice(size) for size in shape)])


def _run(model: bytes, example: Mapping[str, Array]) -> list[Array]:
    with quiet():
        runner: Any = open_interpreter(model).get_signature_runner()
        types = {name: detail["dtype"] for name, detail in runner.get_input_details().items()}
        outputs = runner(**{name: array.astype(types[name]) for name, array in example.items()})
    return [array for _, array in sorted(outputs.items())]
