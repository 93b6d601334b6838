"""Which tensors of a captured graph become int8.

ashore annotates graphs itself. executorch's own XNNPACK quantizer turns the scalars of integer additions into float
tensors (an IndexError in every Hugging Face model), leaves a clamp such as ReLU6 outside of the convolution it
belongs to, and quantizes additions and multiplications wherever they are, which ruins attention and normalisation.
Here convolutions and linear layers are quantized with the activation behind them, and other operators only where
they stand between quantized layers; everything else stays float inside the same delegate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    QuantizationSpecBase,
    Quantizer,
    SharedQuantizationSpec,
)

from ashore.types.precision import Precision

_KEY = "quantization_annotation"
_aten = torch.ops.aten

_LINEAR = {_aten.linear.default}
_CONVOLUTIONS = {_aten.conv1d.default, _aten.conv2d.default, _aten.convolution.default}
_TRANSPOSED = {_aten.conv_transpose2d.input}
"""executorch cannot lower the one-dimensional kind in int8."""

_LAYERS = _LINEAR | _CONVOLUTIONS | _TRANSPOSED
_FUSED = {_aten.relu.default, _aten.relu_.default, _aten.relu6.default, _aten.hardtanh.default, _aten.hardtanh_.default}
"""Activations that XNNPACK computes inside the operator before them."""

_ARITHMETIC = {_aten.add.Tensor, _aten.add_.Tensor, _aten.mul.Tensor, _aten.mul_.Tensor, _aten.sub.Tensor}
_AVERAGES = {_aten.mean.dim, _aten.adaptive_avg_pool2d.default}
_MOVES = {
    *_FUSED,
    _aten.clamp.default,
    _aten.max_pool2d.default,
    _aten.permute.default,
    _aten.transpose.int,
    _aten.view.default,
    _aten.reshape.default,
    _aten.flatten.using_ints,
    _aten.slice.Tensor,
    _aten.unsqueeze.default,
    _aten.squeeze.dim,
    _aten.dropout.default,
}
"""Operators whose output values are input values, or clamped ones: they keep their input's scale."""


@dataclass(frozen=True)
class Specs:
    """How each kind of tensor is quantized."""

    activation: QuantizationSpec
    dynamic_activation: QuantizationSpec
    weight: QuantizationSpec
    transposed_weight: QuantizationSpec


@dataclass
class GraphQuantizer(Quantizer):  # type: ignore[misc]  # torchao ships no types
    """int8 for the layers that ``precision_of`` wants so, and static int8 for what stands between static layers."""

    specs: Specs
    precision_of: Callable[[Node], Precision]
    _quantized: set[Node] = field(default_factory=set)

    def annotate(self, model: GraphModule) -> GraphModule:
        layers = [node for node in model.graph.nodes if is_layer(node)]
        static = [node for node in layers if self.precision_of(node) is Precision.INT8]
        self._quantized = {fused_end(node) for node in static}
        inner = self._between(model, set(static))
        for node in static:
            self._annotate_static(node)
        for node in inner:
            self._annotate_inner(node)
        for node in layers:
            if is_linear(node) and self.precision_of(node) is Precision.INT8_DYNAMIC:
                self._annotate_dynamic(node)
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing to add: what cannot be lowered is left float by construction."""

    def _annotate_static(self, layer: Node) -> None:
        weight = self.specs.transposed_weight if layer.target in _TRANSPOSED else self.specs.weight
        inputs = {argument(layer, 0): self.specs.activation, argument(layer, 1): weight}
        _annotate(layer, inputs, fused_end(layer), self.specs.activation)

    def _annotate_dynamic(self, layer: Node) -> None:
        inputs = {argument(layer, 0): self.specs.dynamic_activation, argument(layer, 1): self.specs.weight}
        _annotate(layer, inputs, layer, None)

    def _annotate_inner(self, node: Node) -> None:
        if node.target in _MOVES:
            shared = SharedQuantizationSpec((argument(node, 0), node))
            _annotate(node, {argument(node, 0): self.specs.activation}, node, shared)
        elif node.target is _aten.cat.default:
            first, *others = node.all_input_nodes
            shared = SharedQuantizationSpec((first, node))
            _annotate(node, {first: self.specs.activation, **dict.fromkeys(others, shared)}, node, shared)
        else:
            sources = dict.fromkeys(node.all_input_nodes, self.specs.activation)
            _annotate(node, sources, fused_end(node), self.specs.activation)

    def _between(self, model: GraphModule, layers: set[Node]) -> list[Node]:
        """Inner operators all of whose inputs are int8 and that lead to an int8 layer, in graph order."""
        candidates = []
        for node in model.graph.nodes:
            if node not in self._quantized and self._can_follow(node):
                candidates.append(node)
                self._quantized.add(fused_end(node))
        leading: set[Node] = set()
        for node in reversed(candidates):
            if any(user in layers or user in leading for user in fused_end(node).users):
                leading.add(node)
        return [node for node in candidates if node in leading]

    def _can_follow(self, node: Node) -> bool:
        known = _ARITHMETIC | _AVERAGES | _MOVES | {_aten.cat.default}
        if node.op != "call_function" or node.target not in known or self.precision_of(node) is not Precision.INT8:
            return False
        if node.target in _ARITHMETIC and not _adds_two_tensors(node):
            return False
        return bool(node.all_input_nodes) and all(source in self._quantized for source in node.all_input_nodes)


def is_layer(node: Node) -> bool:
    """A convolution or linear layer of float32 with constant weights."""
    if node.op != "call_function" or node.target not in _LAYERS:
        return False
    constant = isinstance(node.args[1], Node) and _weight_node(node).op == "get_attr"
    return constant and _is_float32(node) and not _is_grouped_transposed(node)


def weight_of(layer: Node, graph: GraphModule) -> torch.Tensor:
    """A layer's weights, in a graph with observers or without."""
    owner, _, name = str(_weight_node(layer).target).rpartition(".")
    weight: torch.Tensor = getattr(graph.get_submodule(owner), name)
    return weight


def _weight_node(layer: Node) -> Node:
    node = argument(layer, 1)
    return argument(node, 0) if node.op == "call_module" else node


def layers(graph: torch.fx.Graph) -> Iterator[Node]:
    return (node for node in graph.nodes if is_layer(node))


def argument(node: Node, index: int) -> Node:
    value = node.args[index]
    assert isinstance(value, Node)
    return value


def is_linear(node: Node) -> bool:
    return node.target in _LINEAR


def is_transposed(node: Node) -> bool:
    return node.target in _TRANSPOSED or (node.target is _aten.convolution.default and bool(node.args[6]))


def fused_end(node: Node) -> Node:
    """The activation that XNNPACK computes inside ``node``, or ``node`` itself."""
    users = list(node.users)
    fusable = node.target in _LAYERS or node.target in _ARITHMETIC
    if fusable and len(users) == 1 and users[0].target in _FUSED and users[0].args[0] is node:
        return users[0]
    return node


def _annotate(
    node: Node,
    inputs: Mapping[Node, QuantizationSpecBase | None],
    end: Node,
    output: QuantizationSpecBase | None,
) -> None:
    own_output = output if end is node else None
    node.meta[_KEY] = QuantizationAnnotation(input_qspec_map=dict(inputs), output_qspec=own_output, _annotated=True)
    if end is not node:
        end.meta[_KEY] = QuantizationAnnotation(output_qspec=output, _annotated=True)


def _adds_two_tensors(node: Node) -> bool:
    """Not a scalar, not a tensor with itself (one edge cannot be annotated twice), not scaled by ``alpha``."""
    first, second = node.args[:2]
    return isinstance(first, Node) and isinstance(second, Node) and first is not second and not node.kwargs


def _is_float32(node: object) -> bool:
    return isinstance(node, Node) and getattr(node.meta.get("val"), "dtype", None) is torch.float32


def _is_grouped_transposed(node: Node) -> bool:
    """XNNPACK has no int8 kernel for transposed convolutions in groups."""
    groups = node.args[6] if len(node.args) > 6 else 1
    return bool(node.target in _TRANSPOSED and groups != 1)
