"""ONNX files that hold half-precision numbers: read as float32, as PyTorch's half-precision checkpoints are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype")
"""By which operators name the type of what they give."""


def half_formats(model: Any) -> tuple[str, ...]:
    """``float16`` and ``bfloat16``, where the file holds such numbers or takes or gives them."""
    from onnx import TensorProto

    words = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}
    held = {each.data_type for each in _tensors(model)}
    held |= {each.type.tensor_type.elem_type for each in (*model.graph.input, *model.graph.output)}
    return tuple(word for kind, word in words.items() if kind in held)


def widened(model: Any) -> Any:
    """A copy that computes in float32 throughout; its weights are the same numbers."""
    own = type(model)()
    own.CopyFrom(model)
    for tensor in _tensors(own):
        _widen(tensor)
    for value in (*own.graph.input, *own.graph.output):
        value.type.tensor_type.elem_type = _wide(value.type.tensor_type.elem_type)
    for attribute in (each for node in own.graph.node for each in node.attribute):
        if attribute.name in _TYPE_ATTRIBUTES:
            attribute.i = _wide(attribute.i)
    del own.graph.value_info[:]  # what is said there of types is no longer so, and nobody needs it
    return own


def _tensors(model: Any) -> Iterator[Any]:
    yield from model.graph.initializer
    for attribute in (each for node in model.graph.node for each in node.attribute):
        if attribute.HasField("t"):
            yield attribute.t


def _widen(tensor: Any) -> None:
    from onnx import numpy_helper

    if _wide(tensor.data_type) != tensor.data_type:
        numbers = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(numbers, tensor.name))


def _wide(kind: int) -> int:
    from onnx import TensorProto

    return TensorProto.FLOAT if kind in (TensorProto.FLOAT16, TensorProto.BFLOAT16) else kind
