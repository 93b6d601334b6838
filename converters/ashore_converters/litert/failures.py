"""Say in the user's terms what torch.export or LiteRT's compiler refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ashore.errors import ConversionError, ExportFailed, LoweringFailed, UnsupportedModel
from ashore.sources import foreign
from ashore_converters.bake import user_path
from ashore_converters.litert.layers import ROOT

if TYPE_CHECKING:
    import torch

_OTHER_BACKEND = "or use --to executorch, if that backend can"
_BY_VALUE = ("DataDependent", "data-dependent", "Could not guard", "NonConcreteBoolean", "ConcretizationTypeError")
"""In the text of errors about sizes or branches that depend on a tensor's values."""


def export_failure(error: Exception, model: torch.nn.Module) -> ExportFailed:
    """The error to raise for what torch.export raised on ``model``."""
    place = _place(_innermost_module(error, model))
    if any(mark in f"{type(error).__name__}: {error}" for mark in _BY_VALUE):
        return ExportFailed(
            f"the control flow in {place} depends on the values of tensors: {first_line(error)}",
            "replace if, while and .item() on tensor values with torch.where or masking, or branch outside the model",
        )
    return ExportFailed(
        f"torch.export could not capture {place}: {type(error).__name__}: {first_line(error)}",
        "keep to tensor operations in forward; torch.export.export(model, example) alone fails the same way",
    )


def lowering_failure(error: Exception, program: torch.export.ExportedProgram) -> ConversionError:
    """The error to raise for ``error``, which litert_torch raised while it lowered ``program``."""
    complex_valued = next(_complex_values(program), None)
    if complex_valued is not None:
        return UnsupportedModel(
            f"{_place(complex_valued)} computes with complex numbers, which LiteRT does not have",
            f"write it with real numbers (a rotary embedding: with cos and sin), {_OTHER_BACKEND}",
        )
    if any(mark in f"{type(error).__name__}: {error}" for mark in _BY_VALUE):
        op = _operator_at_fault(error)
        return UnsupportedModel(
            f"the size of what {op or 'an operator'} in {_place(_module_of_operator(op, program))} makes depends on "
            "the values of tensors, and a LiteRT file has fixed sizes",
            f"keep all elements and mask those that do not count, {_OTHER_BACKEND}",
        )
    return _unsupported_operators(program) or _compiler_failure(error, program)


def first_line(error: BaseException) -> str:
    return foreign.first_line(error) or type(error).__name__


def _unsupported_operators(program: torch.export.ExportedProgram) -> UnsupportedModel | None:
    missing = _operators_without_lowering(program)
    if not missing:
        return None
    named = "; ".join(f"{op} in {_place(path)}" for op, path in missing.items())
    return UnsupportedModel(
        f"LiteRT has no counterpart of {named}",
        f"write that layer with matrix products, convolutions and elementwise operators, {_OTHER_BACKEND}",
    )


def _compiler_failure(error: Exception, program: torch.export.ExportedProgram) -> LoweringFailed:
    op = _operator_at_fault(error)
    where = f" at {op} in {_place(_module_of_operator(op, program))}" if op else ""
    return LoweringFailed(
        f"LiteRT's compiler failed{where}: {type(error).__name__}: {first_line(error)}",
        f"--debug shows its traceback; write that layer differently, {_OTHER_BACKEND}",
    )


def _complex_values(program: torch.export.ExportedProgram) -> Iterator[str]:
    """Module paths of what makes or holds complex numbers."""
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.op == "call_function" and getattr(getattr(value, "dtype", None), "is_complex", False):
            yield _path(node)


def _operators_without_lowering(program: torch.export.ExportedProgram) -> dict[str, str]:
    """Operator name -> module path, after the decompositions that litert_torch itself applies."""
    from litert_torch import fx_infra
    from litert_torch.backend import lowerings

    try:
        program = fx_infra.safe_run_decompositions(program, fx_infra.decomp.pre_lower_decomp(), can_skip=False)
    except Exception:  # noqa: BLE001 - the program is known to be broken; the first error is the one to report
        return {}
    return {
        _name(node): _path(node)
        for node in program.graph.nodes
        if node.op == "call_function" and hasattr(node.target, "_schema") and lowerings.lookup(node.target) is None
        if not _name(node).startswith("aten._assert")
    }


def _operator_at_fault(error: Exception) -> str:
    """``aten.index`` out of what torch's interpreter adds to the errors of a node; empty where it added nothing."""
    found = re.search(r"call_function\[target=torch\.ops\.([\w.]+)\]", str(error))
    return found.group(1).rpartition(".")[0] if found else ""


def _module_of_operator(op: str, program: torch.export.ExportedProgram) -> str:
    nodes = (node for node in program.graph.nodes if node.op == "call_function" and _name(node).startswith(op))
    return next(map(_path, nodes), "") if op else ""


def _name(node: torch.fx.Node) -> str:
    return str(node.target).removesuffix(".default")


def _path(node: torch.fx.Node) -> str:
    """Of the innermost module; ``litert_graph`` has put it where litert_torch looks for names."""
    stack = node.meta.get("nn_module_stack") or {}
    return next((str(name) for _, name in stack.values()), "")


def _place(path: str) -> str:
    return "the model's own forward" if path in ("", ROOT) else f"module '{path}'"


def _innermost_module(error: Exception, model: torch.nn.Module) -> str:
    """The last of the user's modules whose code was running when ``error`` was raised."""
    paths = {id(module): path for path, module in model.named_modules()}
    found, trace = "", error.__traceback__
    while trace is not None:
        found = paths.get(id(trace.tb_frame.f_locals.get("self")), found)
        trace = trace.tb_next
    return user_path(f"{found}.").rstrip(".")
