"""Change a LiteRT file in memory through the schema's object classes."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from ashore.types.tensor import Array


@dataclass(frozen=True)
class EditableFile:
    """``graph`` is the subgraph that runs."""

    model: Any
    graph: Any

    def op_name(self, op: Any) -> str:
        from ai_edge_litert import schema_py_generated as schema

        code = self.model.operatorCodes[op.opcodeIndex].builtinCode
        return next((name for name, value in vars(schema.BuiltinOperator).items() if value == code), "UNKNOWN")

    def constant(self, tensor: int) -> Array | None:
        """The bytes of a constant tensor; None where it is computed."""
        data = self.model.buffers[self.graph.tensors[tensor].buffer].data
        return None if data is None or len(data) == 0 else np.asarray(data, np.uint8)

    def add_shape(self, sizes: Array, like: int) -> int:
        """A new int32 constant, named after the tensor ``like``; returns its index."""
        buffer = copy.copy(self.model.buffers[0])
        buffer.data = np.frombuffer(sizes.astype(np.int32).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        index = self.add_tensor(like)
        tensor = self.graph.tensors[index]
        tensor.buffer, tensor.type = len(self.model.buffers) - 1, _int32()
        tensor.shape, tensor.shapeSignature = np.array([len(sizes)], np.int32), None
        return index

    def add_tensor(self, like: int) -> int:
        """A copy of tensor ``like`` under a name of its own; returns its index."""
        tensor = copy.copy(self.graph.tensors[like])
        tensor.name = b"%s;%d" % (tensor.name.removesuffix(b";"), len(self.graph.tensors))
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def add_op_code(self, name: str) -> int:
        from ai_edge_litert import schema_py_generated as schema

        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        code.version = 1
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def packed(self) -> bytes:
        import flatbuffers

        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def open_file(content: bytes) -> EditableFile:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    return EditableFile(model, model.subgraphs[0])


def with_copied_outputs(content: bytes) -> bytes:
    """Give every output that operators go on to use a tensor of its own, made by a RESHAPE that changes nothing.

    The quantizer, asked for float outputs, otherwise hands the float tensor to those operators too, and the file
    does not load.
    """
    file = open_file(content)
    used = {int(index) for op in file.graph.operators for index in op.inputs}
    shared = [int(index) for index in dict.fromkeys(file.graph.outputs) if int(index) in used]
    if not shared:
        return content
    copies = {index: _copy_by_reshape(file, index) for index in shared}
    file.graph.outputs = np.array([copies.get(int(i), int(i)) for i in file.graph.outputs], np.int32)
    for signature in file.model.signatureDefs or ():
        for entry in signature.outputs:
            entry.tensorIndex = copies.get(entry.tensorIndex, entry.tensorIndex)
    return file.packed()


def with_flat_biases(content: bytes) -> bytes:
    """Give the bias of every transposed convolution its one axis.

    The lowering writes it as [1, 1, 1, channels]; quantized along its first axis it has more scales than elements
    there, and the file does not load.
    """
    file = open_file(content)
    used = [
        (file.op_name(op), place, int(index)) for op in file.graph.operators for place, index in enumerate(op.inputs)
    ]
    biases = {index for name, place, index in used if (name, place) == ("TRANSPOSE_CONV", 3) and index >= 0}
    elsewhere = {index for name, place, index in used if (name, place) != ("TRANSPOSE_CONV", 3)}
    deep = [index for index in biases - elsewhere if len(file.graph.tensors[index].shape) > 1]
    for index in deep:
        tensor = file.graph.tensors[index]
        tensor.shape, tensor.shapeSignature = np.array([np.prod(tensor.shape)], np.int32), None
    return file.packed() if deep else content


def with_float_edges(content: bytes) -> bytes:
    """Give quantized inputs and outputs a float side: QUANTIZE after the one, DEQUANTIZE before the other."""
    file = open_file(content)
    inputs = [index for index in dict.fromkeys(map(int, file.graph.inputs)) if _is_quantized(file, index)]
    outputs = [index for index in dict.fromkeys(map(int, file.graph.outputs)) if _is_quantized(file, index)]
    floats_in = {index: _add_float(file, index) for index in inputs}
    floats_out = {index: _add_float(file, index) for index in outputs}
    first = [_convert(file, "QUANTIZE", given, index) for index, given in floats_in.items()]
    last = [_convert(file, "DEQUANTIZE", index, made) for index, made in floats_out.items()]
    file.graph.operators = [*first, *file.graph.operators, *last]
    file.graph.inputs = np.array([floats_in.get(int(i), int(i)) for i in file.graph.inputs], np.int32)
    file.graph.outputs = np.array([floats_out.get(int(i), int(i)) for i in file.graph.outputs], np.int32)
    for signature in file.model.signatureDefs or ():
        for entries, floats in ((signature.inputs, floats_in), (signature.outputs, floats_out)):
            for entry in entries:
                entry.tensorIndex = floats.get(entry.tensorIndex, entry.tensorIndex)
    return file.packed()


def _is_quantized(file: EditableFile, index: int) -> bool:
    from ai_edge_litert import schema_py_generated as schema

    return bool(file.graph.tensors[index].type == schema.TensorType.INT8)


def _add_float(file: EditableFile, like: int) -> int:
    from ai_edge_litert import schema_py_generated as schema

    index = file.add_tensor(like)
    file.graph.tensors[index].type, file.graph.tensors[index].quantization = schema.TensorType.FLOAT32, None
    return index


def _convert(file: EditableFile, name: str, given: int, made: int) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    op = schema.OperatorT()
    op.opcodeIndex = file.add_op_code(name)
    op.inputs, op.outputs = np.array([given], np.int32), np.array([made], np.int32)
    return op


def _copy_by_reshape(file: EditableFile, index: int) -> int:
    from ai_edge_litert import schema_py_generated as schema

    tensor = file.graph.tensors[index]
    sizes = np.array(tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature, np.int32)
    copied, op = file.add_tensor(index), schema.OperatorT()
    op.opcodeIndex = file.add_op_code("RESHAPE")
    op.inputs = np.array([index, file.add_shape(sizes, index)], np.int32)
    op.outputs = np.array([copied], np.int32)
    op.builtinOptionsType, op.builtinOptions = schema.BuiltinOptions.ReshapeOptions, schema.ReshapeOptionsT()
    file.graph.operators.append(op)
    return copied


def _int32() -> int:
    from ai_edge_litert import schema_py_generated as schema

    return int(schema.TensorType.INT32)
