"""Which of the user's modules an operator of a LiteRT file comes from, and what the recipe asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ashore.errors import UsageError
from ashore.types.precision import Precision
from ashore.types.recipe import LayerRule, Recipe
from ashore_converters.bake import user_path
from ashore_converters.litert.file import FileGraph, FileOp

if TYPE_CHECKING:
    import torch

ROOT = "(model)"
"""Stands in tensor names for the user's outermost module, whose path is empty."""

WEIGHTED = {"FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "EMBEDDING_LOOKUP"}


def scope(op: FileOp, graph: FileGraph) -> str:
    """The string that the quantizer's regular expressions are searched in for ``op``."""
    return "".join(f"{graph.tensors[index].name};" for index in op.outputs)


class Layers:
    """The module paths behind every operator of a file, read off the names of its tensors.

    A fused tensor's name lists the modules of all that was fused into it: convolution, batch norm and activation, but
    also modules that merely share a constant or a reshape with it. An operator's weights belong to one of the listed
    modules that have weights, and to one that no other operator has a better claim to.
    """

    def __init__(self, graph: FileGraph, model: torch.nn.Module) -> None:
        weights = {user_path(name): module for name, module in model.named_modules() if _holds_matrix(module)}
        claims = {op: _claims(op, graph, weights) for op in graph.ops}
        own = _settled({op: claim for op, claim in claims.items() if claim})
        self._modules = {op: _with_activation(op, graph, own.get(op), weights) for op in graph.ops}

    def of(self, op: FileOp) -> tuple[str, ...]:
        """Module paths of ``op``, its own last; empty where its tensors bear no module's name."""
        return self._modules[op]

    def own(self, op: FileOp) -> str:
        """The module path of ``op`` itself; empty where that is the outermost module, or bears no name."""
        paths = self.of(op)
        return paths[-1] if paths and paths[-1] != ROOT else ""

    def asked_precision(self, op: FileOp, recipe: Recipe) -> Precision:
        """The first rule that names one of the modules of ``op``, or a module around it, decides."""
        names = {name for path in self.of(op) for name in _with_parents(path)}
        for rule in recipe.layers:
            if any(rule.matches(name) for name in names):
                return rule.precision
        return recipe.precision

    def check(self, rules: Iterable[LayerRule]) -> None:
        """Raises UsageError where a rule names no operator of the file."""
        paths = dict.fromkeys(name for own in self._modules.values() for path in own for name in _with_parents(path))
        for rule in rules:
            if not any(rule.matches(path) for path in paths):
                raise UsageError(
                    f"layer rule {rule.pattern!r} ({rule.precision}) matches no layer that is left in the LiteRT file",
                    f"a pattern must match a whole module path; the file has {', '.join(sorted(paths))[:300]}",
                )


def _holds_matrix(module: torch.nn.Module) -> bool:
    return any(weight is not None and weight.dim() > 1 for weight in module._parameters.values())


def _claims(op: FileOp, graph: FileGraph, weights: Iterable[str]) -> list[str]:
    """Modules that the weights of ``op`` may belong to."""
    if op.name not in WEIGHTED or not graph.tensors[op.inputs[1]].buffer_bytes:
        return []
    names = _paths(graph.tensors[op.inputs[1]].name)
    return [name for name in names if name in weights] or names[-1:]


def _settled(claims: dict[FileOp, list[str]]) -> dict[FileOp, str]:
    """One module for each operator: first where there is no choice, then what the others have left."""
    settled: dict[FileOp, str] = {}
    for op, names in sorted(claims.items(), key=lambda claim: len(claim[1])):
        taken = set(settled.values())
        settled[op] = next((name for name in names if name not in taken), names[0])
    return settled


def _with_activation(op: FileOp, graph: FileGraph, own: str | None, weights: Iterable[str]) -> tuple[str, ...]:
    made = [path for index in op.outputs for path in _paths(graph.tensors[index].name)]
    if own is None:
        return tuple(dict.fromkeys((*made[:1], *made[-1:])))
    beside = [path for path in made[:1] if path not in weights and _parent(path) == _parent(own)]
    return tuple(dict.fromkeys((*beside, own)))


def _paths(tensor_name: str) -> list[str]:
    """``a.1;;a.0;3`` -> a.1, a.0: each location ends in ';', then comes a number that makes the name unique."""
    return [path for path in tensor_name.split(";")[:-1] if path]


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _with_parents(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]
