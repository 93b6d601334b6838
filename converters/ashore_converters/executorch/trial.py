"""Measure int8 choices in PyTorch: the observed graph, with its observers rounding instead of watching."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

import torch
from torch.fx import GraphModule, Node

from ashore.types.conversion import ConversionRequest
from ashore.types.tensor import Array
from ashore_converters.executorch.export import sample_tensors
from ashore_converters.executorch.observers import ActivationObserver, PerChannelWeightObserver
from ashore_converters.sensitivity import spread, sqnr_db

Observer = ActivationObserver | PerChannelWeightObserver


class Trial:
    """The int8 network as the file would compute it, held against the float one on some of the calibration samples.

    ``graph`` has seen the calibration samples; its observers stop watching, or these would count twice.
    """

    def __init__(self, graph: GraphModule, request: ConversionRequest) -> None:
        self.graph = graph
        for _, observer in activation_observers(graph):
            observer.watching = False
        self._request = request

    @property
    def samples(self) -> int:
        return len(self._inputs)

    def sqnr_db(self, float_layers: Collection[Node] = ()) -> float:
        """Over all outputs; ``float_layers``, if behind no others, lose the rounding of their inputs too."""
        off = {node for layer in float_layers for node in layer_observers(layer)}
        reference = self._reference  # in float, hence before
        with simulating(self.graph, off):
            return sqnr_db(reference, run(self.graph, self._inputs))

    @cached_property
    def _inputs(self) -> list[tuple[torch.Tensor, ...]]:
        return [sample_tensors(sample, self._request.inputs) for sample in spread(self._request.calibration)]

    @cached_property
    def _reference(self) -> list[Array]:
        return run(self.graph, self._inputs)


@contextmanager
def simulating(prepared: GraphModule, off: Collection[Node] = ()) -> Iterator[None]:
    """Inside, every observer but those of ``off`` rounds as the file will."""
    observers = dict(_observers(prepared))
    for node, observer in observers.items():
        observer.simulate = node not in off
    try:
        yield
    finally:
        for observer in observers.values():
            observer.simulate = False


def run(prepared: GraphModule, inputs: Sequence[tuple[torch.Tensor, ...]]) -> list[Array]:
    """All outputs on all inputs, sample after sample."""
    with torch.no_grad():
        return [result.numpy() for tensors in inputs for result in prepared(*tensors)]


def layer_observers(layer: Node) -> list[Node]:
    """The observers of a layer's input and weight."""
    return [node for node in layer.all_input_nodes if node.op == "call_module"]


def drop_observers(prepared: GraphModule, layers: Collection[Node]) -> None:
    """Let ``layers``, the first ones of the graph, stay float in the converted graph."""
    for node in {node for layer in layers for node in layer_observers(layer)}:
        node.replace_all_uses_with(node.all_input_nodes[0])
        prepared.graph.erase_node(node)
    prepared.recompile()


def observer_at(prepared: GraphModule, node: Node) -> Observer | None:
    module = prepared.get_submodule(str(node.target)) if node.op == "call_module" else None
    return module if isinstance(module, ActivationObserver | PerChannelWeightObserver) else None


def activation_observers(prepared: GraphModule) -> list[tuple[Node, ActivationObserver]]:
    return [(node, observer) for node, observer in _observers(prepared) if isinstance(observer, ActivationObserver)]


def _observers(prepared: GraphModule) -> list[tuple[Node, Observer]]:
    found = ((node, observer_at(prepared, node)) for node in prepared.graph.nodes)
    return [(node, observer) for node, observer in found if observer is not None]
