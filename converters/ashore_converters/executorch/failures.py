"""Say what went wrong inside torch and executorch in terms of the user's own model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch

import ashore
from ashore.errors import ConversionError, ExportFailed, LoweringFailed, UnsupportedModel
from ashore_converters.bake import user_path

_LIBRARIES = {Path(torch.__file__).parent, Path(__file__).parents[1], Path(ashore.__file__).parent}
_DATA_DEPENDENT = ("DataDependent", "data-dependent", "Could not guard", "GuardOnDataDependent")


@dataclass(frozen=True)
class Place:
    """Where in the user's model something happened; empty strings where that is not known."""

    module_path: str = ""
    source: str = ""

    def __str__(self) -> str:
        module = f"in module '{self.module_path}'" if self.module_path else "in the model's own forward"
        return f"{module} ({self.source})" if self.source else module


def export_failed(error: Exception, module: torch.nn.Module) -> ExportFailed:
    """What torch.export could not capture, where, and the way out."""
    place, reason = _place(error, module), _reason(error)
    if any(mark in f"{type(error).__name__}: {error}" for mark in _DATA_DEPENDENT):
        return ExportFailed(
            f"the model's control flow depends on the values of its tensors {place}: {reason}",
            "replace the Python if/while/item() on tensor values by torch.where, masking or torch.cond, "
            "or take the branch outside the model",
        )
    return ExportFailed(
        f"torch.export could not capture the model {place}: {type(error).__name__}: {reason}",
        "make forward traceable: only tensor operations, shapes from its inputs; if sizes are to vary, declare them "
        "as dynamic dimensions",
    )


def lowering_failed(error: Exception, graph: torch.fx.Graph | None, stage: str) -> ConversionError:
    """The operator that stopped executorch's compiler, its place in the model and the way out."""
    missing = re.findall(r"aten::\w+(?:\.\w+)?|\w+::\w+(?:\.\w+)?", _after(str(error), "Missing out variants"))
    if missing:
        return unsupported_operators(sorted(set(missing)), graph)
    return LoweringFailed(
        f"executorch could not lower the model while {stage}: {type(error).__name__}: {_reason(error)}",
        "run with --debug for its own traceback; --to litert may take this model",
    )


def unsupported_operators(names: list[str], graph: torch.fx.Graph | None) -> UnsupportedModel:
    places = [f"{name} {_operator_place(name, graph)}" for name in names]
    return UnsupportedModel(
        f"executorch has no kernel for {'; '.join(places)}",
        "express it with operators that have one (see torch's core ATen set), or convert with --to litert",
    )


def node_place(node: torch.fx.Node) -> Place:
    """The innermost module a graph node comes from, and the line in the user's file where known."""
    return Place(node_path(node), _stack_source(node.meta.get("stack_trace") or ""))


def node_path(node: torch.fx.Node) -> str:
    """Path of the innermost module in the user's model, '' for code of the outermost forward."""
    return (node_paths(node) or [""])[-1]


def node_paths(node: torch.fx.Node) -> list[str]:
    """Paths of all modules around a graph node in the user's model, outermost first."""
    stack = (node.meta.get("nn_module_stack") or {}).values()
    paths = [re.sub(r"^L\['self'\]\.?", "", path) for path, _ in stack]
    return [user_path(path) for path in paths if path not in ("", "model")] or _weight_owner(node)


def _weight_owner(node: torch.fx.Node) -> list[str]:
    """Programs captured before come without a record of their modules; their weights still carry module names."""
    weight = node.args[1] if node.op == "call_function" and len(node.args) > 1 else None
    if not isinstance(weight, torch.fx.Node) or weight.op != "get_attr":
        return []
    owner = user_path(str(weight.target).rpartition(".")[0])
    return [owner] if owner else []


def _place(error: BaseException, module: torch.nn.Module) -> Place:
    paths = {id(child): name for name, child in module.named_modules()}
    module_path, source = "", ""
    for frame, line in _frames(error):
        owner = frame.f_locals.get("self")
        if id(owner) in paths and isinstance(owner, torch.nn.Module):
            module_path = paths[id(owner)]
        if not _is_library(frame.f_code.co_filename):
            source = f"{frame.f_code.co_filename}:{line}"
    return Place("" if module_path == "model" else user_path(module_path), source)


def _frames(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _is_library(filename: str) -> bool:
    path = Path(filename)
    return filename.startswith("<") or any(root in path.parents for root in _LIBRARIES)


def _stack_source(stack_trace: str) -> str:
    places = re.findall(r'File "([^"]+)", line (\d+)', stack_trace)
    own = [f"{name}:{line}" for name, line in places if not _is_library(name)]
    return own[-1] if own else ""


def _operator_place(name: str, graph: torch.fx.Graph | None) -> str:
    base = name.rpartition("::")[2].split(".")[0]
    for node in graph.nodes if graph is not None else ():
        if node.op == "call_function" and base in str(node.target):
            return str(node_place(node))
    return "at a place executorch does not tell"


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return lines[0] if lines else "no reason given"


def _after(text: str, mark: str) -> str:
    return text.partition(mark)[2]
