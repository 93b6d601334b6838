"""Other numbers for 4-bit weights of a finished LiteRT file, in the bytes that they take already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ashore.types.tensor import Array


class WeightsInPlace:
    """``content`` changes, its length and all that is not put remain."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._content = bytearray(content)
        self._model = schema.Model.GetRootAs(self._content, 0)
        self._int4 = schema.TensorType.INT4
        self._groups = schema.QuantizationDetails.BlockwiseQuantization

    @property
    def content(self) -> bytes:
        return bytes(self._content)

    def put_4bit(self, name: str, integers: Array, scales: Array) -> None:
        """Into every 4-bit tensor of that name: ``integers`` int8 [out, in], ``scales`` float32 [out, groups]."""
        for subgraph, tensor in self._named(name):
            low, high = (integers.reshape(-1)[place::2].astype(np.uint8) & 15 for place in (0, 1))
            self._bytes(tensor.Buffer())[:] = low | high << 4
            self._scales(subgraph, tensor)[:] = scales.reshape(-1)

    def _named(self, name: str) -> Iterator[tuple[Any, Any]]:
        for index in range(self._model.SubgraphsLength()):
            subgraph = self._model.Subgraphs(index)
            tensors = (subgraph.Tensors(place) for place in range(subgraph.TensorsLength()))
            yield from ((subgraph, each) for each in tensors if self._is_4bit(each) and each.Name().decode() == name)

    def _is_4bit(self, tensor: Any) -> bool:
        return bool(tensor.Type() == self._int4)

    def _scales(self, subgraph: Any, tensor: Any) -> Array:
        """By group they are a float16 tensor of their own, by row a part of the tensor."""
        quantization = tensor.Quantization()
        if quantization.DetailsType() != self._groups:
            return np.asarray(quantization.ScaleAsNumpy())
        from ai_edge_litert import schema_py_generated as schema

        details, union = schema.BlockwiseQuantization(), quantization.Details()
        details.Init(union.Bytes, union.Pos)
        return self._bytes(subgraph.Tensors(details.Scales()).Buffer()).view(np.float16)

    def _bytes(self, buffer: int) -> NDArray[np.uint8]:
        """Inside of the schema's part, or behind it, where the quantizer puts what is large."""
        held = self._model.Buffers(buffer)
        if held.Offset() > 1:
            return np.frombuffer(self._content, np.uint8, count=held.Size(), offset=held.Offset())
        return np.asarray(held.DataAsNumpy())
