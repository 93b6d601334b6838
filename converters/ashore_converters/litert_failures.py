"""Say in the user's terms what LiteRT's compiler refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ashore.errors import ConversionError, LoweringFailed, UnsupportedModel

if TYPE_CHECKING:
    import torch


def lowering_failure(error: Exception, program: torch.export.ExportedProgram) -> ConversionError:
    """The error to raise for ``error``, which litert_torch raised while it lowered ``program``."""
    missing = _operators_without_lowering(program)
    if missing:
        named = "; ".join(f"{op} in {path}" for op, path in missing.items())
        return UnsupportedModel(
            f"LiteRT has no counterpart of {named}",
            "write that layer with matrix products, convolutions and elementwise operators, or use --to executorch",
        )
    return LoweringFailed(
        f"LiteRT's compiler failed: {first_line(error)}",
        "--debug shows where; converting with --to executorch tells whether the model or the backend is at fault",
    )


def _operators_without_lowering(program: torch.export.ExportedProgram) -> dict[str, str]:
    """Operator name -> module path, after the decompositions that litert_torch itself applies."""
    from litert_torch import fx_infra
    from litert_torch.backend import lowerings

    try:
        program = fx_infra.safe_run_decompositions(program, fx_infra.decomp.pre_lower_decomp(), can_skip=False)
    except Exception:  # noqa: BLE001 - the program is known to be broken; the first error is the one to report
        return {}
    return {
        str(node.target).removesuffix(".default"): module_of(node)
        for node in program.graph.nodes
        if node.op == "call_function" and hasattr(node.target, "_schema") and lowerings.lookup(node.target) is None
    }


def module_of(node: torch.fx.Node) -> str:
    """How messages name the module of a node whose module stack has been rewritten by ``litert_graph``."""
    stack = node.meta.get("nn_module_stack") or {}
    path = next((str(name) for _, name in stack.values()), "")
    return f"module '{path}'" if path else "the model"


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
