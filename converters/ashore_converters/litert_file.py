"""Read a LiteRT file (a flatbuffer with the identifier ``TFL3``) without running it and without torch.

The flatbuffer is not verified by the Python reader, so every count is held against the file's size before it is
believed, and whatever reading a damaged file raises becomes an ArtifactError.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ashore.errors import ArtifactError, TargetUnavailable
from ashore.types.tensor import DynamicDim, Quantization, TensorSpec

_IDENTIFIER = b"TFL3"
_UNBOUNDED = 2**31 - 1


@dataclass(frozen=True)
class FileTensor:
    """``channels``: how many scales the tensor has; 0 where it is not quantized. ``buffer_bytes``: 0 if computed."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    buffer: int
    buffer_bytes: int
    scales: int
    spec: TensorSpec


@dataclass(frozen=True)
class FileOp:
    """An operator by its schema name, with the indices of its tensors; missing optional inputs are left out."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class FileGraph:
    """What a LiteRT file holds: its first subgraph, which is the one that runs.

    ``inputs`` and ``outputs`` pair the name in the ``serving_default`` signature (the tensor's own name where there
    is no signature) with the tensor's index, in the order of the subgraph, which is the order of the PyTorch call.
    """

    tensors: tuple[FileTensor, ...]
    ops: tuple[FileOp, ...]
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]
    other_ops: tuple[str, ...]
    bytes_by_part: dict[str, int]

    def input_specs(self) -> tuple[TensorSpec, ...]:
        return tuple(_named(self.tensors[index].spec, name) for name, index in self.inputs)

    def output_specs(self) -> tuple[TensorSpec, ...]:
        return tuple(_named(self.tensors[index].spec, name) for name, index in self.outputs)

    def main_op_counts(self) -> dict[str, int]:
        return dict(Counter(op.name for op in self.ops).most_common())

    def op_counts(self) -> dict[str, int]:
        return dict(Counter((*(op.name for op in self.ops), *self.other_ops)).most_common())


def read_file(path: Path) -> FileGraph:
    """Raises ArtifactError where ``path`` cannot be read or is no intact LiteRT file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}", "check the path and its permissions") from error
    return read_graph(content, str(path))


def read_graph(content: bytes, name: str) -> FileGraph:
    """As :func:`read_file`, for a file already in memory; ``name`` is for messages."""
    if len(content) < 8 or content[4:8] != _IDENTIFIER:
        found = content[4:8].decode("latin-1") if len(content) >= 8 else f"only {len(content)} bytes"
        raise ArtifactError(
            f"{name} is not a LiteRT file: it has {found!r} where the identifier 'TFL3' belongs",
            "give a .tflite file; if it was copied or downloaded, get it again",
        )
    try:
        return _Reader(content).graph()
    except (struct.error, IndexError, ValueError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise ArtifactError(
            f"{name} is damaged: its {len(content)} bytes do not hold the model its header announces ({error})",
            "get the file again, or convert the model again",
        ) from error


class _Reader:
    def __init__(self, content: bytes) -> None:
        try:
            from ai_edge_litert import schema_py_generated as schema
        except ImportError as error:
            raise TargetUnavailable(
                "reading .tflite files needs ai-edge-litert, which is not installed", 'pip install "ashore[litert]"'
            ) from error
        self._size = len(content)
        self._model = schema.Model.GetRootAs(content, 0)
        self._op_names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
        self._types = {code: name for name, code in vars(schema.TensorType).items() if isinstance(code, int)}

    def graph(self) -> FileGraph:
        if not self._count(self._model.SubgraphsLength()):
            raise ValueError("no subgraph")
        main = self._model.Subgraphs(0)
        tensors = tuple(self._tensor(main.Tensors(i)) for i in range(self._count(main.TensorsLength())))
        inputs, outputs = self._edges(main)
        _check_indices((*inputs, *outputs), len(tensors))
        ops = tuple(self._ops(main, len(tensors)))
        others = tuple(op.name for index in self._other_subgraphs() for op in self._ops(self._model.Subgraphs(index)))
        return FileGraph(
            tensors,
            ops,
            tuple((self._edge_name(index, "Inputs") or tensors[index].name, index) for index in inputs),
            tuple(self._output_names(outputs, tensors)),
            others,
            self._bytes_by_part(),
        )

    def _count(self, length: int) -> int:
        if not 0 <= length <= self._size:
            raise ValueError(f"a list of {length} entries")
        return length

    def _other_subgraphs(self) -> range:
        return range(1, self._count(self._model.SubgraphsLength()))

    def _edges(self, graph: Any) -> tuple[list[int], list[int]]:
        inputs = [graph.Inputs(i) for i in range(self._count(graph.InputsLength()))]
        outputs = [graph.Outputs(i) for i in range(self._count(graph.OutputsLength()))]
        return inputs, outputs

    def _ops(self, graph: Any, tensors: int | None = None) -> Iterator[FileOp]:
        for index in range(self._count(graph.OperatorsLength())):
            op = graph.Operators(index)
            inputs = tuple(op.Inputs(i) for i in range(self._count(op.InputsLength())))
            outputs = tuple(op.Outputs(i) for i in range(self._count(op.OutputsLength())))
            present = tuple(i for i in inputs if i >= 0)
            if tensors is not None:
                _check_indices((*present, *outputs), tensors)
            yield FileOp(self._op_name(op.OpcodeIndex()), present, outputs)

    def _op_name(self, index: int) -> str:
        if not index < self._count(self._model.OperatorCodesLength()):
            raise ValueError(f"operator code {index}")
        code = self._model.OperatorCodes(index)
        name = self._op_names.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "UNKNOWN")
        custom = code.CustomCode()
        return f"CUSTOM {custom.decode('utf-8', 'replace')}" if custom else name

    def _tensor(self, tensor: Any) -> FileTensor:
        name = (tensor.Name() or b"").decode("utf-8", "replace")
        shape = tuple(tensor.Shape(i) for i in range(self._count(tensor.ShapeLength())))
        dtype = self._types.get(tensor.Type(), "unknown").lower()
        scales, zero_points = self._quantization(tensor.Quantization())
        quantization = Quantization(scales[0], zero_points[0]) if len(scales) == len(zero_points) == 1 else None
        spec = TensorSpec(name, shape, dtype, None, self._dynamic(tensor), quantization)
        return FileTensor(name, shape, dtype, tensor.Buffer(), self._buffer_bytes(tensor.Buffer()), len(scales), spec)

    def _quantization(self, quantization: Any) -> tuple[list[float], list[int]]:
        if quantization is None:
            return [], []
        scales = [quantization.Scale(i) for i in range(self._count(quantization.ScaleLength()))]
        return scales, [quantization.ZeroPoint(i) for i in range(self._count(quantization.ZeroPointLength()))]

    def _dynamic(self, tensor: Any) -> dict[int, DynamicDim]:
        signature = [tensor.ShapeSignature(i) for i in range(self._count(tensor.ShapeSignatureLength()))]
        return {axis: DynamicDim(f"axis{axis}", 1, _UNBOUNDED) for axis, size in enumerate(signature) if size < 0}

    def _buffer_bytes(self, index: int) -> int:
        if not index < self._count(self._model.BuffersLength()):
            raise ValueError(f"buffer {index}")
        buffer = self._model.Buffers(index)
        if buffer.Offset() > 1:  # models of more than 2 GB keep their weights behind the flatbuffer
            self._count(buffer.Offset() + buffer.Size())
            return int(buffer.Size())
        return len(buffer.DataAsNumpy()) if buffer.DataLength() else 0  # raises where the data runs past the end

    def _bytes_by_part(self) -> dict[str, int]:
        described = {self._model.Metadata(i).Buffer() for i in range(self._count(self._model.MetadataLength()))}
        sizes = [self._buffer_bytes(i) for i in range(self._count(self._model.BuffersLength()))]
        metadata = sum(size for index, size in enumerate(sizes) if index in described)
        weights = sum(sizes) - metadata
        if sum(sizes) > self._size:
            raise ValueError(f"buffers of {sum(sizes)} bytes")
        return {"weights": weights, "graph": self._size - weights - metadata, "metadata": metadata}

    def _edge_name(self, tensor: int, side: str) -> str | None:
        return next(iter(self._edge_names(tensor, side)), None)

    def _edge_names(self, tensor: int, side: str) -> list[str]:
        for index in range(self._count(self._model.SignatureDefsLength())):
            signature = self._model.SignatureDefs(index)
            if signature.SubgraphIndex() == 0:
                entries = [getattr(signature, side)(i) for i in range(getattr(signature, f"{side}Length")())]
                return [e.Name().decode("utf-8", "replace") for e in entries if e.TensorIndex() == tensor]
        return []

    def _output_names(self, outputs: list[int], tensors: tuple[FileTensor, ...]) -> Iterator[tuple[str, int]]:
        """One tensor may leave under several names, each of which is an output of its own."""
        seen: set[int] = set()
        for index in outputs:
            names = self._edge_names(index, "Outputs") or [tensors[index].name]
            if index not in seen:
                yield from ((name, index) for name in names)
            seen.add(index)


def _check_indices(indices: tuple[int, ...], tensors: int) -> None:
    wrong = [index for index in indices if not 0 <= index < tensors]
    if wrong:
        raise ValueError(f"tensor {wrong[0]} of {tensors}")


def _named(spec: TensorSpec, name: str) -> TensorSpec:
    return TensorSpec(name, spec.shape, spec.dtype, spec.layout, spec.dynamic, spec.quantization)
