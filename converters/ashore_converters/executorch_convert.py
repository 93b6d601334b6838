"""The stages of a conversion to .pte, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from ashore.interfaces import Progress
from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore.types.recipe import Recipe
from ashore.types.tensor import TensorSpec
from ashore_converters.bake import bake
from ashore_converters.executorch_check import runs_as_quantized
from ashore_converters.executorch_export import export
from ashore_converters.executorch_half import HalfInside
from ashore_converters.executorch_lower import lower
from ashore_converters.executorch_quantize import quantize_4bit, quantize_dynamic
from ashore_converters.executorch_static import StaticProgram, quantize_static


@dataclass(frozen=True)
class Written:
    """What came of a conversion; ``recipe`` is the one that was carried out."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    recipe: Recipe
    warnings: tuple[str, ...] = ()


def write_program(request: ConversionRequest, destination: Path, progress: Progress) -> Written:
    progress("exporting with torch.export")
    module = _prepared_module(request)
    quantized = _quantized(export(module, request), request, progress)
    progress("lowering to XNNPACK")
    _write(lower(quantized.program), destination)
    return Written(request.inputs, request.outputs, quantized.recipe, quantized.warnings)


def _prepared_module(request: ConversionRequest) -> torch.nn.Module:
    precision = request.recipe.precision
    module = bake(request.model, keep=runs_as_quantized if precision is Precision.INT4 else None)
    if precision is Precision.INT4:
        quantize_4bit(module, request.recipe)
    return HalfInside(module) if precision is Precision.FP16 else module


def _quantized(program: ExportedProgram, request: ConversionRequest, progress: Progress) -> StaticProgram:
    if request.recipe.precision is Precision.INT8:
        return quantize_static(program, request, progress)
    if request.recipe.precision is Precision.INT8_DYNAMIC:
        progress("quantizing the weights of linear layers")
        program = quantize_dynamic(program, request)
    return StaticProgram(program, request.recipe)


def _write(lowered: Any, destination: Path) -> None:
    try:
        with destination.open("wb") as file:
            lowered.write_to_file(file)
    except BaseException:
        destination.unlink(missing_ok=True)
        raise
