"""Models that PT2E has quantized already: their own quantization is kept, for LiteRT to run as integers.

Handed to litert_torch as they are, they convert without a word into a file that quantizes and dequantizes around
float arithmetic, bigger and slower than the float model. It has to be told that the operators mean quantization, and
whether activations are quantized statically or at run time. Weights that were folded to int8 it cannot read at all;
they are unfolded here, which changes no value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

_QUANTIZED = "quantized_decomposed."
_AT_RUN_TIME = "quantized_decomposed.choose_qparams"


def is_quantized(model: torch.nn.Module) -> bool:
    """Whether ``model`` holds a graph with PT2E's quantize and dequantize operators."""
    return any(_operators(layer.graph) for layer in model.modules() if isinstance(layer, GraphModule))


def quant_config(program: ExportedProgram) -> Any:
    """What litert_torch must be told of ``program``; None where nothing in it is quantized."""
    names = _operators(program.graph)
    if not names:
        return None
    from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
    from litert_torch.quantize.quant_config import QuantConfig

    dynamic = any(name.startswith(_AT_RUN_TIME) for name in names)
    scheme = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=dynamic)
    return QuantConfig(pt2e_quantizer=PT2EQuantizer().set_global(scheme))


def leave_activations_to_litert(program: ExportedProgram) -> None:
    """Drop what quantizes activations at run time, in place: a LiteRT layer with int8 weights does that by itself."""
    for node in list(program.graph.nodes):
        quantize = node.args[0] if str(node.target).startswith(f"{_QUANTIZED}dequantize") else None
        if isinstance(quantize, Node) and _scale_is_computed(quantize):
            node.replace_all_uses_with(quantize.args[0])
    program.graph.eliminate_dead_code()


def _scale_is_computed(quantize: Node) -> bool:
    scale = quantize.args[1] if len(quantize.args) > 1 else None
    source = scale.args[0] if isinstance(scale, Node) and scale.args else None
    return isinstance(source, Node) and str(source.target).startswith(_AT_RUN_TIME)


def unfold_weights(program: ExportedProgram) -> None:
    """Turn int8 weights back into float ones that are quantized in the graph, in place."""
    inputs = program.graph_signature
    stored = {**inputs.inputs_to_buffers, **inputs.inputs_to_parameters, **inputs.inputs_to_lifted_tensor_constants}
    for node in list(program.graph.nodes):
        if node.op == "call_function" and f"{_QUANTIZED}dequantize_per" in str(node.target):
            weight = node.args[0]
            if isinstance(weight, Node) and weight.name in stored:
                _unfold(program, node, weight, stored)


def _unfold(program: ExportedProgram, dequantize: Node, weight: Node, stored: dict[str, str]) -> None:
    values = [_stored(program, arg, stored) for arg in dequantize.args]
    floats = dequantize.target(*values, **dequantize.kwargs)  # type: ignore[operator]  # an operator, not a name
    _store(program, stored[weight.name], floats)
    weight.meta["val"] = weight.meta["val"].to(torch.float32)
    quantize = getattr(torch.ops.quantized_decomposed, str(dequantize.target).split(".")[1].removeprefix("de"))
    overload = getattr(quantize, str(dequantize.target).rpartition(".")[2])
    with program.graph.inserting_before(dequantize):
        node = program.graph.call_function(overload, (weight, *dequantize.args[1:]))
    node.meta = {**dequantize.meta, "val": weight.meta["val"].to(torch.int8)}
    dequantize.replace_input_with(weight, node)


def _stored(program: ExportedProgram, value: Any, stored: dict[str, str]) -> Any:
    if not isinstance(value, Node):
        return value
    name = stored[value.name]
    return program.state_dict[name] if name in program.state_dict else program.constants[name]


def _store(program: ExportedProgram, name: str, value: torch.Tensor) -> None:
    if name in program.state_dict:
        program.state_dict[name] = value
    else:
        program.constants[name] = value


def _operators(graph: torch.fx.Graph) -> set[str]:
    return set(_names(graph))


def _names(graph: torch.fx.Graph) -> Iterator[str]:
    for node in graph.nodes:
        if node.op == "call_function" and str(node.target).startswith(_QUANTIZED):
            yield str(node.target)
