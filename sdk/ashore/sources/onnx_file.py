"""``file.onnx``: imported at fixed sizes as a PyTorch module, which is held against onnxruntime first of all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from keyword import iskeyword
from pathlib import Path
from typing import Any

import numpy as np

from ashore.errors import UnsupportedModel, UsageError
from ashore.sources.foreign import first_line
from ashore.sources.onnx_sizes import check_size
from ashore.sources.shapes import DTYPES, draw
from ashore.types.source import ModelSource
from ashore.types.tensor import Array


@dataclass(frozen=True)
class OnnxInput:
    """What the graph says of one of its inputs; a size that it leaves open is the name it has there."""

    name: str
    """As in the file, where any text is a name."""
    key: str
    """As the parameter of a Python function."""
    dtype: str
    sizes: tuple[int | str, ...]

    @property
    def text(self) -> str:
        return f"{self.key}={'x'.join(str(size) if isinstance(size, int) else '…' for size in self.sizes)}:{self.dtype}"


def load_onnx(path: Path, examples: Mapping[str, Any] | None = None) -> ModelSource:
    """A source of the model in ``path``, its module proven against onnxruntime on the example inputs.

    Raises:
        UsageError: nothing is there, it is no valid ONNX, or an input has sizes that nobody gave.
        UnsupportedModel: an operator or opset that is not imported, or an import that computes something else.
    """
    model = _read(path)
    from ashore.sources.onnx_checks import check_operators, holds_quantization
    from ashore.sources.onnx_fixed import fixed
    from ashore.sources.onnx_graph import import_graph
    from ashore.sources.onnx_half import half_formats, widened
    from ashore.sources.onnx_proof import proof_floor_db, prove

    check_operators(model, may_branch=True)
    halves = half_formats(model)
    model = widened(model) if halves else model
    inputs = _inputs(model)
    example, notes = _example(inputs, dict(examples or {}))
    model = fixed(model, {each.name: example[each.key].shape for each in inputs})
    check_operators(model)
    module = import_graph(model, [example[each.key] for each in inputs], [each.key for each in inputs])
    floor_db = proof_floor_db(quantized=holds_quantization(model), half=bool(halves))
    prove(path, module, {each.key: each.name for each in inputs}, example, floor_db)
    told = (
        (f"the model came in {' and '.join(halves)}: it is read as float32, in which it is judged",) if halves else ()
    )
    return ModelSource(module, example, path.stem, notes=(*notes, *told))


def _read(path: Path) -> Any:
    if not path.is_file():
        raise UsageError(f"there is no file {path}", "save one with torch.onnx.export(model, args, path)")
    try:
        import onnx
        import onnx2fx  # noqa: F401  # here, where its absence can be told
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f".onnx needs packages that cannot be imported: {error}", 'pip install "ashore[onnx]"'
        ) from error
    from ashore.sources.onnx_checks import check_versions

    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's, those of external data, and the system's
        raise UsageError(
            f"{path} could not be read as ONNX: {type(error).__name__}: {first_line(error)}",
            "save it again; weights kept outside of the file must lie beside it",
        ) from error
    check_versions(model)
    try:
        onnx.checker.check_model(path)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise UsageError(
            f"{path} is not valid ONNX: {first_line(error)}", "onnx.checker.check_model(path) says more"
        ) from error
    return model


def _inputs(model: Any) -> list[OnnxInput]:
    """In the graph's order; old files list their weights among the inputs too, which are none."""
    weights = {each.name for each in model.graph.initializer}
    found: list[OnnxInput] = []
    for value in model.graph.input:
        if value.name not in weights:
            key = _key(value.name, {each.key for each in found})
            found.append(OnnxInput(value.name, key, _dtype(value), _sizes(value)))
    return found


def _key(name: str, taken: set[str]) -> str:
    key = re.sub(r"\W", "_", name, flags=re.ASCII)
    if not key or key[0].isdigit():
        key = f"input_{key}"
    while key in taken or iskeyword(key):
        key += "_"
    return key


def _dtype(value: Any) -> str:
    import onnx

    kind = value.type.tensor_type.elem_type
    word = str(onnx.helper.tensor_dtype_to_np_dtype(kind)) if kind else value.type.WhichOneof("value")
    if word not in DTYPES:
        raise UnsupportedModel(
            f"input {value.name!r} is of the type {word}, which no backend takes", f"known: {', '.join(DTYPES)}"
        )
    return word


def _sizes(value: Any) -> tuple[int | str, ...]:
    """Some exporters write -1 for a size that is open, where ONNX has a name or nothing."""
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_param or "?" if dim.dim_value in (0, -1) else int(dim.dim_value) for dim in dims)


def _example(inputs: list[OnnxInput], given: dict[str, Any]) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Arrays for all inputs, and what is to be told of sizes that the file leaves open."""
    unknown = sorted(set(given) - {each.key for each in inputs})
    if unknown:
        raise UsageError(
            f"the model has no input {', '.join(unknown)}", f"it takes {', '.join(each.text for each in inputs)}"
        )
    arrays, notes = {}, []
    for index, each in enumerate(inputs):
        if each.key in given:
            arrays[each.key] = _checked(each, np.asarray(given[each.key]))
        else:
            arrays[each.key] = _drawn(each, index)
        notes += [_note(each, axis, arrays[each.key]) for axis, size in enumerate(each.sizes) if isinstance(size, str)]
    return arrays, tuple(notes)


def _note(each: OnnxInput, axis: int, array: Array) -> str:
    return f"the ONNX file leaves dimension {each.sizes[axis]!r} of {each.key!r} open; it is {array.shape[axis]} here"


def _checked(each: OnnxInput, array: Array) -> Array:
    if array.dtype.name != each.dtype:
        raise UsageError(f"input {each.key!r} is {array.dtype.name}, the model takes {each.dtype}", f"give {each.text}")
    fits = len(array.shape) == len(each.sizes) and all(
        isinstance(size, str) or size == own for size, own in zip(each.sizes, array.shape, strict=False)
    )
    if not fits:
        shape = "x".join(map(str, array.shape))
        raise UsageError(
            f"input {each.key!r} has shape {shape}, the model takes {each.text}", "only sizes shown as … are open"
        )
    return array


def _drawn(each: OnnxInput, seed: int) -> Array:
    """Noise, and ones for integers, as ``--shape`` gives. A batch left open is 1; of other sizes nobody can know."""
    sizes = [1 if axis == 0 and isinstance(size, str) else size for axis, size in enumerate(each.sizes)]
    shape = [size for size in sizes if isinstance(size, int)]
    if len(shape) < len(sizes):
        raise UsageError(
            f"the model does not say the shape of its input {each.key!r}, only {each.text}",
            f"give it: --shape {each.text}, with a number in the place of each …",
        )
    check_size(each.key, shape, np.dtype(each.dtype).itemsize)
    return draw(shape, each.dtype, seed)
