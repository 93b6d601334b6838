"""Which of the user's modules an operator of a LiteRT file comes from, and what the recipe asks for it."""

from __future__ import annotations

from collections.abc import Iterable

from ashore.errors import UsageError
from ashore.types.precision import Precision
from ashore.types.recipe import LayerRule, Recipe
from ashore_converters.litert_file import FileGraph, FileOp

ROOT = "(model)"
"""Stands in tensor names for the user's outermost module, whose path is empty."""

WEIGHTED = {"FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "EMBEDDING_LOOKUP"}


def scope(op: FileOp, graph: FileGraph) -> str:
    """The string that the quantizer's regular expressions are searched in for ``op``."""
    return "".join(f"{graph.tensors[index].name};" for index in op.outputs)


def modules_of(op: FileOp, graph: FileGraph) -> tuple[str, ...]:
    """Module paths of ``op``, its own last: several where the compiler fused convolution, batch norm, activation.

    A fused tensor's name lists the operator that came last first, the one that came first last, and between them
    also modules that merely share a constant with it, which do not count. The tensor that leaves the model bears the
    output's name instead of a module's, so weights are asked as well.
    """
    made = [_ends(graph.tensors[index].name) for index in op.outputs]
    if op.name in WEIGHTED and graph.tensors[op.inputs[1]].buffer_bytes:
        own = _paths(graph.tensors[op.inputs[1]].name)
        return tuple(dict.fromkeys((*(ends[0] for ends in made if ends and own and ends[0] not in own), *own)))
    return tuple(dict.fromkeys(path for ends in made for path in ends))


def asked_precision(modules: Iterable[str], recipe: Recipe) -> Precision:
    """The first rule that names one of ``modules``, or a module around it, decides."""
    names = {name for path in modules for name in _with_parents(path)}
    for rule in recipe.layers:
        if any(rule.matches(name) for name in names):
            return rule.precision
    return recipe.precision


def check_rules(rules: Iterable[LayerRule], graph: FileGraph) -> None:
    """Raises UsageError where a rule names no operator of the file."""
    paths = dict.fromkeys(name for op in graph.ops for path in modules_of(op, graph) for name in _with_parents(path))
    for rule in rules:
        if not any(rule.matches(path) for path in paths):
            raise UsageError(
                f"layer rule {rule.pattern!r} ({rule.precision}) matches no layer that is left in the LiteRT file",
                f"a pattern must match a whole module path; the file has {', '.join(sorted(paths))[:300]}",
            )


def _paths(tensor_name: str) -> list[str]:
    """``a.1;;a.0;3`` -> a.1, a.0: each location ends in ';', then comes a number that makes the name unique."""
    return [path for path in tensor_name.split(";")[:-1] if path]


def _ends(tensor_name: str) -> list[str]:
    paths = _paths(tensor_name)
    return [paths[0], paths[-1]] if paths else []


def _with_parents(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]
