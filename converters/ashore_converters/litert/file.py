"""Read a LiteRT file (a flatbuffer with the identifier ``TFL3``) without running it and without torch.

The flatbuffer is not verified by the Python reader, so everything that is read is taken off a budget before it is
believed, and whatever reading a damaged file raises becomes an ArtifactError.
"""

from __future__ import annotations

import mmap
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ashore.errors import ArtifactError, TargetUnavailable
from ashore.types.tensor import DynamicDim, Quantization, TensorSpec
from ashore_converters.flatbuffer import Budget

_IDENTIFIER = b"TFL3"
_UNBOUNDED = 2**31 - 1
_TABLE_BYTES, _OP_BYTES, _TENSOR_BYTES = 12, 32, 256
"""What a table and an operator take in the file at the least, and the description of a tensor in memory."""


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

    def read(self) -> frozenset[int]:
        """Tensors that an operator or the caller reads; others need not hold anything when the file runs."""
        return frozenset((*(index for op in self.ops for index in op.inputs), *(index for _, index in self.outputs)))

    def main_op_counts(self) -> dict[str, int]:
        return dict(Counter(op.name for op in self.ops).most_common())

    def op_counts(self) -> dict[str, int]:
        return dict(Counter((*(op.name for op in self.ops), *self.other_ops)).most_common())


def read_file(path: Path) -> FileGraph:
    """Raises ArtifactError where ``path`` cannot be read or is no intact LiteRT file."""
    try:
        with path.open("rb") as file:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except ValueError:  # mmap refuses an empty file
        content = memoryview(b"")
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}", "check the path and its permissions") from error
    return read_graph(content, str(path))


def read_graph(content: bytes | memoryview, name: str) -> FileGraph:
    """As :func:`read_file`, for a file already in memory; ``name`` is for messages."""
    if len(content) < 8 or content[4:8] != _IDENTIFIER:
        found = bytes(content[4:8]).decode("latin-1") if len(content) >= 8 else f"only {len(content)} bytes"
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


def read_loops(content: bytes, prefix: str) -> tuple[FileGraph, ...]:
    """The subgraphs whose names begin with ``prefix``, of a file that was just made."""
    return tuple(_Reader(content).named(prefix.encode()))


class _Reader:
    def __init__(self, content: bytes | memoryview) -> None:
        try:
            from ai_edge_litert import schema_py_generated as schema
        except ImportError as error:
            raise TargetUnavailable(
                "reading .tflite files needs ai-edge-litert, which is not installed", 'pip install "ashore[litert]"'
            ) from error
        self._size = len(content)
        self._budget = Budget(self._size)
        self._model = schema.Model.GetRootAs(content, 0)
        self._op_names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
        self._types = {code: name for name, code in vars(schema.TensorType).items() if isinstance(code, int)}

    def graph(self) -> FileGraph:
        if not self._model.SubgraphsLength():
            raise ValueError("no subgraph")
        main = self._model.Subgraphs(0)
        tensors = self._tensors(main)
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

    def named(self, prefix: bytes) -> Iterator[FileGraph]:
        for index in self._other_subgraphs():
            graph = self._model.Subgraphs(index)
            if (graph.Name() or b"").startswith(prefix):
                tensors = self._tensors(graph)
                yield FileGraph(tensors, tuple(self._ops(graph, len(tensors))), (), (), (), {})

    def _tensors(self, graph: Any) -> tuple[FileTensor, ...]:
        return tuple(self._tensor(graph.Tensors(i)) for i in self._each(graph.TensorsLength(), _TENSOR_BYTES))

    def _each(self, length: int, element_bytes: int) -> range:
        """The indices of a list, which is paid for before anybody walks it."""
        if length < 0:
            raise ValueError(f"a list of {length} entries")
        self._budget.spend(length * element_bytes)
        return range(length)

    def _numbers(self, table: Any, field: str) -> list[int]:
        """A vector of int32; raises where it runs past the end."""
        length = getattr(table, f"{field}Length")()
        self._budget.spend(4 * length)
        return getattr(table, f"{field}AsNumpy")().tolist() if length else []

    def _text(self, name: bytes | None) -> str:
        self._budget.spend(len(name or b""))
        return (name or b"").decode("utf-8", "replace")

    def _other_subgraphs(self) -> range:
        return self._each(self._model.SubgraphsLength(), _TABLE_BYTES)[1:]

    def _edges(self, graph: Any) -> tuple[list[int], list[int]]:
        return self._numbers(graph, "Inputs"), self._numbers(graph, "Outputs")

    def _ops(self, graph: Any, tensors: int | None = None) -> Iterator[FileOp]:
        for index in self._each(graph.OperatorsLength(), _OP_BYTES):
            op = graph.Operators(index)
            outputs = tuple(self._numbers(op, "Outputs"))
            present = tuple(i for i in self._numbers(op, "Inputs") if i >= 0)
            if tensors is not None:
                _check_indices((*present, *outputs), tensors)
            yield FileOp(self._op_name(op.OpcodeIndex()), present, outputs)

    def _op_name(self, index: int) -> str:
        if not index < self._model.OperatorCodesLength():
            raise ValueError(f"operator code {index}")
        code = self._model.OperatorCodes(index)
        name = self._op_names.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "UNKNOWN")
        custom = code.CustomCode()
        return f"CUSTOM {self._text(custom)}" if custom else name

    def _tensor(self, tensor: Any) -> FileTensor:
        name = self._text(tensor.Name())
        shape = tuple(self._numbers(tensor, "Shape"))
        dtype = self._types.get(tensor.Type(), "unknown").lower()
        scales, quantization = self._quantization(tensor.Quantization())
        spec = TensorSpec(name, shape, dtype, None, self._dynamic(tensor), quantization)
        return FileTensor(name, shape, dtype, tensor.Buffer(), self._buffer_bytes(tensor.Buffer()), scales, spec)

    def _quantization(self, found: Any) -> tuple[int, Quantization | None]:
        """How many scales there are, and the one that holds for a whole tensor."""
        scales, zero_points = (found.ScaleLength(), found.ZeroPointLength()) if found is not None else (0, 0)
        if scales == zero_points == 1:
            return 1, Quantization(found.Scale(0), found.ZeroPoint(0))
        if not 0 <= scales * 4 + zero_points * 8 <= self._size:
            raise ValueError(f"{scales} scales and {zero_points} zero points")
        return scales, None

    def _dynamic(self, tensor: Any) -> dict[int, DynamicDim]:
        axes = [axis for axis, size in enumerate(self._numbers(tensor, "ShapeSignature")) if size < 0]
        self._budget.spend(_TENSOR_BYTES * len(axes))
        return {axis: DynamicDim(f"axis{axis}", 1, _UNBOUNDED) for axis in axes}

    def _buffer_bytes(self, index: int) -> int:
        if not index < self._model.BuffersLength():
            raise ValueError(f"buffer {index}")
        buffer = self._model.Buffers(index)
        if buffer.Offset() > 1:  # models of more than 2 GB keep their weights behind the flatbuffer
            if buffer.Offset() + buffer.Size() > self._size:
                raise ValueError(f"a buffer that ends at byte {buffer.Offset() + buffer.Size()}")
            return int(buffer.Size())
        return len(buffer.DataAsNumpy()) if buffer.DataLength() else 0  # raises where the data runs past the end

    def _bytes_by_part(self) -> dict[str, int]:
        described = {self._model.Metadata(i).Buffer() for i in self._each(self._model.MetadataLength(), _TABLE_BYTES)}
        weights = metadata = 0
        for index in self._each(self._model.BuffersLength(), _TABLE_BYTES):
            size = self._buffer_bytes(index)
            metadata += size if index in described else 0
            weights += size if index not in described else 0
        if weights + metadata > self._size:
            raise ValueError(f"buffers of {weights + metadata} bytes")
        return {"weights": weights, "graph": self._size - weights - metadata, "metadata": metadata}

    def _edge_name(self, tensor: int, side: str) -> str | None:
        return next(iter(self._edge_names(tensor, side)), None)

    def _edge_names(self, tensor: int, side: str) -> list[str]:
        for index in self._each(self._model.SignatureDefsLength(), _TABLE_BYTES):
            signature = self._model.SignatureDefs(index)
            if signature.SubgraphIndex() == 0:
                places = self._each(getattr(signature, f"{side}Length")(), _TABLE_BYTES)
                entries = (getattr(signature, side)(i) for i in places)
                return [self._text(entry.Name()) for entry in entries if entry.TensorIndex() == tensor]
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
