"""Capture a prepared module as a torch.export program."""

from __future__ import annotations

from typing import Any

import torch
from torch.export import Dim, ExportedProgram

from ashore.types.conversion import ConversionRequest
from ashore.types.tensor import DynamicDim, Sample, TensorSpec
from ashore_converters.executorch.failures import export_failed
from ashore_converters.executorch.graph import rewrite_for_xnnpack
from ashore_converters.executorch.layers import refuse_volumes


def export(module: torch.nn.Module, request: ConversionRequest) -> ExportedProgram:
    """Raises ExportFailed with the user's own line and module path."""
    axes = _dynamic_axes(request.inputs)
    # The prepared module takes *tensors: one parameter that holds them all.
    return rewrite_for_xnnpack(_export(module, request, (axes,) if axes else None))


def export_again(graph: torch.fx.GraphModule, request: ConversionRequest) -> ExportedProgram:
    """Capture the graph of a program anew, after it was quantized."""
    return rewrite_for_xnnpack(_export(graph, request, _dynamic_axes(request.inputs)))


def _export(module: torch.nn.Module, request: ConversionRequest, dynamic_shapes: Any) -> ExportedProgram:
    pairs = zip(example_tensors(request), request.inputs, strict=True)
    args = tuple(_traceable(tensor, spec) for tensor, spec in pairs)
    try:
        with torch.no_grad():
            program = torch.export.export(module, args, dynamic_shapes=dynamic_shapes, strict=False)
    except Exception as error:  # torch.export documents no common class for what it raises
        raise export_failed(error, module) from error
    refuse_volumes(program.graph_module)  # those that the model calls as functions
    return program


def example_tensors(request: ConversionRequest) -> tuple[torch.Tensor, ...]:
    return sample_tensors(request.example, request.inputs)


def sample_tensors(sample: Sample, inputs: tuple[TensorSpec, ...]) -> tuple[torch.Tensor, ...]:
    """A sample's arrays as tensors in the order of ``inputs``."""
    return tuple(torch.tensor(sample[spec.name]) for spec in inputs)


def _traceable(tensor: torch.Tensor, spec: TensorSpec) -> torch.Tensor:
    """Dynamic axes of size one are made longer: torch.export takes a one for a constant."""
    for axis, dim in spec.dynamic.items():
        if tensor.shape[axis] == 1 and dim.maximum > 1:
            repeats = [1] * tensor.dim()
            repeats[axis] = min(dim.maximum, max(dim.minimum, 2))
            tensor = tensor.repeat(repeats)
    return tensor


def _dynamic_axes(inputs: tuple[TensorSpec, ...]) -> Any:
    if not any(spec.dynamic for spec in inputs):
        return None
    dims = {dim.name: _dim(dim) for spec in inputs for dim in spec.dynamic.values()}
    return tuple({axis: dims[dim.name] for axis, dim in spec.dynamic.items()} for spec in inputs)


def _dim(dim: DynamicDim) -> Any:
    return Dim(dim.name, min=dim.minimum, max=dim.maximum)
