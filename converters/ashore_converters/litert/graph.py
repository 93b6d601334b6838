"""From a prepared PyTorch model to a float LiteRT file in memory.

The stages of ``litert_torch.convert`` are called one by one: its own door cannot name inputs and outputs, cannot say
which stage failed, and leaves no place to edit the exported graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ashore.types.conversion import ConversionRequest
from ashore_converters.bake import user_path
from ashore_converters.litert.failures import export_failure, lowering_failure
from ashore_converters.litert.layers import ROOT
from ashore_converters.litert.quiet import quiet

if TYPE_CHECKING:
    import torch

SIGNATURE = "serving_default"

_WRAPPER = "prepared"


def export(request: ConversionRequest) -> torch.export.ExportedProgram:
    """Capture the model's graph at the example's sizes, its outputs named.

    Raises:
        ExportFailed: torch.export could not capture it.
    """
    import torch

    example = tuple(torch.from_numpy(request.example[spec.name].copy()) for spec in request.inputs)
    named = _with_named_outputs(request.model, [spec.name for spec in request.outputs])
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(named, example, strict=False)
    except Exception as error:
        raise export_failure(error, request.model) from error


def lower(program: torch.export.ExportedProgram, request: ConversionRequest) -> bytes:
    """The float file. Tensors are named by the module they come from, as ``features.0.0;1``.

    Raises:
        LoweringFailed, UnsupportedModel: naming the operator and the module's path.
    """
    with quiet():
        from litert_torch._convert import core, litert_converter

        from ashore_converters.litert.loops import allow_loops
        from ashore_converters.litert.outline import outline_loops
        from ashore_converters.litert.passes import rewrite
        from ashore_converters.litert.pt2e import make_readable, quantization_of
        from ashore_converters.litert.retrace import traced_where_needed

        allow_loops()
        _name_by_module(program)
        rewrite(program)
        told = make_readable(program, quantization_of(request.model))
        passed = program
        try:
            decomposed = _decompose(program)
            with traced_where_needed():
                passed = core._run_convert_passes(decomposed)
            exporter = litert_converter.exported_programs_to_flatbuffer(
                [passed], [_signature(request)], quant_config=told
            )
            outline_loops(exporter.module)
            return bytes(exporter.to_bytes())
        except Exception as error:
            raise lowering_failure(error, passed) from error


def _decompose(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    from litert_torch import fx_infra

    program = fx_infra.graph_utils.reset_from_node_meta(program)
    decompositions = fx_infra.decomp.pre_convert_decomp()
    decomposed: torch.export.ExportedProgram = fx_infra.safe_run_decompositions(program, decompositions, can_skip=False)
    return decomposed


def _with_named_outputs(model: torch.nn.Module, names: list[str]) -> torch.nn.Module:
    """litert_torch names a file's outputs by the keys of the dict that the model returns."""
    import torch

    class NamedOutputs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.prepared = model

        def forward(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
            return dict(zip(names, self.prepared(*inputs), strict=True))

    return NamedOutputs().eval()


def _signature(request: ConversionRequest) -> Any:
    """litert_torch calls positional inputs args_0, args_1…; this one calls them by their own names."""
    from litert_torch._convert import signature

    class NamedInputs(signature.Signature):  # type: ignore[misc]  # the library is untyped
        @property
        def flat_arg_names(self) -> list[str]:
            return [spec.name for spec in request.inputs]

    return NamedInputs(SIGNATURE, request.model, (), {})


def _name_by_module(program: torch.export.ExportedProgram) -> None:
    """Make litert_torch name tensors by whole module paths.

    By itself it writes the class and the last part of the path of every module on the way, which cannot tell
    ``a.3`` from ``b.3`` where ``a`` and ``b`` are module lists. What a recurrent layer was split into bears its name.
    """
    from ashore_converters.recurrent import is_loop

    for node in program.graph.nodes:
        if stack := node.meta.get("nn_module_stack"):
            entries = list(stack.values())
            own = next((path for path, kind in entries if is_loop(kind)), entries[-1][0])
            path = str(own).removeprefix(_WRAPPER).lstrip(".")
            node.meta["nn_module_stack"] = {"ashore": ("", user_path(f"{path}.").rstrip(".") or ROOT)}
