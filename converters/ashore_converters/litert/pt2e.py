"""Models that PT2E has quantized already: their own quantization is kept, for LiteRT to run as integers.

Handed to litert_torch as they are, they convert without a word into a file that quantizes and dequantizes around
float arithmetic, bigger and slower than the float model. Of static ones litert_torch has to be told that the
operators mean quantization; weights that were folded to int8, which it cannot read, are unfolded here, without
changing a value. Told of dynamic ones it quantizes embeddings too, in a way that its own runtime refuses to load: of
these only the rounded weights are kept, which LiteRT's quantizer then puts on the same grid again.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

_QUANTIZED = "quantized_decomposed."
_AT_RUN_TIME = "quantized_decomposed.choose_qparams"


class Pt2e(Enum):
    """How PT2E quantized a model: activations by known scales, or at run time or not at all."""

    STATIC = "static"
    DYNAMIC = "dynamic"


def quantization_of(model: torch.nn.Module) -> Pt2e | None:
    """None where ``model`` holds no quantize or dequantize operator."""
    graphs = [layer.graph for layer in model.modules() if isinstance(layer, GraphModule)]
    nodes = [node for graph in graphs for node in _quantizing(graph)]
    if not nodes:
        return None
    return Pt2e.STATIC if any(_quantizes_statically(node) for node in nodes) else Pt2e.DYNAMIC


def make_readable(program: ExportedProgram, quantization: Pt2e | None) -> Any:
    """Rewrite ``program`` in place for litert_torch; returns the ``quant_config`` that it must be given."""
    if quantization is Pt2e.DYNAMIC:
        _keep_rounded_weights(program)
    if quantization is not Pt2e.STATIC:
        return None
    from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
    from litert_torch.quantize.quant_config import QuantConfig

    _unfold_weights(program)
    return QuantConfig(pt2e_quantizer=PT2EQuantizer().set_global(get_symmetric_quantization_config(is_dynamic=False)))


def _quantizing(graph: torch.fx.Graph) -> Iterator[Node]:
    for node in graph.nodes:
        if node.op == "call_function" and str(node.target).startswith(_QUANTIZED):
            yield node


def _quantizes_statically(node: Node) -> bool:
    """Whether ``node`` quantizes something that is computed, by a scale that is known."""
    value = node.args[0]
    quantizes = str(node.target).startswith(f"{_QUANTIZED}quantize") and not _scale_is_computed(node)
    return quantizes and isinstance(value, Node) and value.op != "get_attr"


def _scale_is_computed(quantize: Node) -> bool:
    scale = quantize.args[1] if len(quantize.args) > 1 else None
    source = scale.args[0] if isinstance(scale, Node) and scale.args else None
    return isinstance(source, Node) and str(source.target).startswith(_AT_RUN_TIME)


def _dequantizing(program: ExportedProgram) -> list[Node]:
    return [node for node in _quantizing(program.graph) if f"{_QUANTIZED}dequantize" in str(node.target)]


def _keep_rounded_weights(program: ExportedProgram) -> None:
    for node in _dequantizing(program):
        quantize = node.args[0]
        if isinstance(quantize, Node) and _scale_is_computed(quantize):
            node.replace_all_uses_with(quantize.args[0])  # type: ignore[arg-type]  # what was quantized, a node
    program.graph.eliminate_dead_code()
    for node in _dequantizing(program):
        weight = _weight_below(node)
        _store(program, weight.name, _computed(program, node))
        weight.meta["val"] = node.meta["val"]
        node.replace_all_uses_with(weight)
    program.graph.eliminate_dead_code()


def _unfold_weights(program: ExportedProgram) -> None:
    """Turn int8 weights back into float ones that are quantized in the graph."""
    stored = _stored_names(program)
    for node in _dequantizing(program):
        weight = node.args[0]
        if isinstance(weight, Node) and weight.name in stored:
            _unfold(program, node, weight)


def _unfold(program: ExportedProgram, dequantize: Node, weight: Node) -> None:
    _store(program, weight.name, _computed(program, dequantize))
    packet, overload = str(dequantize.target).split(".")[1:]
    quantize = getattr(getattr(torch.ops.quantized_decomposed, packet.removeprefix("de")), overload)
    weight.meta["val"], whole = dequantize.meta["val"], weight.meta["val"]
    with program.graph.inserting_before(dequantize):
        node = program.graph.call_function(quantize, (weight, *dequantize.args[1:]))
    node.meta = {**dequantize.meta, "val": whole}
    dequantize.replace_input_with(weight, node)


def _weight_below(node: Node) -> Node:
    """The stored weight that a chain of quantize and dequantize operators starts from."""
    below = node.args[0]
    assert isinstance(below, Node)
    return below if below.op == "placeholder" else _weight_below(below)


def _computed(program: ExportedProgram, value: Any) -> Any:
    """What a node that depends on stored tensors only makes."""
    if not isinstance(value, Node):
        return value
    if value.op == "placeholder":
        name = _stored_names(program)[value.name]
        return program.state_dict[name] if name in program.state_dict else program.constants[name]
    return value.target(*[_computed(program, arg) for arg in value.args])  # type: ignore[operator]  # an operator


def _store(program: ExportedProgram, placeholder: str, value: torch.Tensor) -> None:
    name = _stored_names(program)[placeholder]
    if isinstance(program.state_dict.get(name), torch.nn.Parameter):
        value = torch.nn.Parameter(value, requires_grad=False)
    (program.state_dict if name in program.state_dict else program.constants)[name] = value


def _stored_names(program: ExportedProgram) -> dict[str, str]:
    """Graph input -> name of the weight or constant behind it."""
    given = program.graph_signature
    return {**given.inputs_to_buffers, **given.inputs_to_parameters, **given.inputs_to_lifted_tensor_constants}
