"""A module's graph with the module's own names for the tensors that its operators read."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Graph, Node

_aten = torch.ops.aten
LINEAR = frozenset({_aten.linear.default})
CONVOLUTIONS = frozenset({_aten.conv1d.default, _aten.conv1d.padding, _aten.conv2d.default, _aten.conv2d.padding})


@dataclass(frozen=True)
class Capture:
    """``names``: of the module's parameter or buffer, for the nodes that stand for one which a single operator reads.

    What is read twice, under one name or several, is missing: to change it for one reader would change it for all.
    """

    graph: Graph
    names: Mapping[Node, str]

    def name(self, node: object) -> str | None:
        return self.names.get(node) if isinstance(node, Node) else None


def capture(module: torch.nn.Module, example: tuple[Tensor, ...]) -> Capture:
    """Raises whatever torch.export raises for a module that it cannot capture."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own deprecations
        program = torch.export.export(module, example, strict=False)
    tensors = named_tensors(module)
    signature = program.graph_signature
    known = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    inputs = [node for node in program.graph.nodes if node.op == "placeholder"]
    names = {node: known[node.name] for node in inputs if known.get(node.name) in tensors}
    reads: Counter[int] = Counter()
    for node, name in names.items():
        reads[_storage(tensors[name])] += sum(_reads(user, node) for user in node.users)
    return Capture(program.graph, {n: name for n, name in names.items() if reads[_storage(tensors[name])] == 1})


def held(module: torch.nn.Module, name: str) -> Tensor:
    """Of a parameter or a buffer: graphs that were captured before may hold their weights as either."""
    owner, _, attribute = name.rpartition(".")
    tensor: Tensor = getattr(module.get_submodule(owner), attribute)
    return tensor


def argument(node: Node, place: int) -> object:
    return node.args[place] if len(node.args) > place else None


def shape(node: Node) -> torch.Size:
    size: torch.Size = node.meta["val"].shape
    return size


def named_tensors(module: torch.nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers; one that has several names comes under all of them."""
    parameters = dict(module.named_parameters(remove_duplicate=False))
    return parameters | dict(module.named_buffers(remove_duplicate=False))


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _reads(user: Node, node: Node) -> int:
    return sum(each is node for each in (*user.args, *user.kwargs.values()))
