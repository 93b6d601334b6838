"""Leave out one of litert_torch's three traces of the whole graph where it would change nothing: a sixth of the time.

Its layout pass puts Python functions in the place of operators, and its CanonicalizePass traces the graph once more to
see operators again. That is for the pass after it, which looks for those that LiteRT has whole, such as resizing and
pooling. Functions that hide a convolution, a normalization or a transposition hide none of these; they are traced
through when the graph is lowered.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_LAYOUT = "litert_torch._convert.fx_passes.optimize_layout_transposes_pass"
_HIDING_NOTHING = {
    f"{_LAYOUT}.utils.tensor_to_nhwc",
    f"{_LAYOUT}.utils.tensor_to_nchw",
    f"{_LAYOUT}.layout_rewrite._aten_convolution_rewriter.<locals>.conv_nhwc",
    f"{_LAYOUT}.layout_rewrite._aten__native_batch_norm_legit_no_training.<locals>.batch_norm",
}


@contextmanager
def traced_where_needed() -> Iterator[None]:
    """Inside, litert_torch's passes trace a graph again only where ``hides_an_operator`` says so."""
    from litert_torch._convert import fx_passes
    from litert_torch.fx_infra.pass_base import ExportedProgramPassResult

    always = fx_passes.CanonicalizePass

    class WhereNeeded(always):  # type: ignore[misc, valid-type]  # the library is untyped
        def call(self, program: Any) -> Any:
            if any(hides_an_operator(node.target) for node in program.graph.nodes if node.op == "call_function"):
                return super().call(program)
            return ExportedProgramPassResult(program, False)

    fx_passes.CanonicalizePass = WhereNeeded
    try:
        yield
    finally:
        fx_passes.CanonicalizePass = always


def hides_an_operator(target: Callable[..., Any]) -> bool:
    """Whether ``target`` is none that the passes after the layout's can read, or that they may ignore."""
    import torch

    if target is operator.getitem:
        return False
    if isinstance(target, torch._ops.OpOverload):
        return target.namespace != "aten"  # quantized graphs, marked patterns and others' own: as the library has it
    return f"{target.__module__}.{getattr(target, '__qualname__', target)}" not in _HIDING_NOTHING
