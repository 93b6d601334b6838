"""The stages of a conversion to .pte, one after the other."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule

from ashore.errors import LoweringFailed
from ashore.interfaces import Progress
from ashore.sources.quantized import is_quantized_program
from ashore.types.conversion import ConversionRequest, PlacedLayer
from ashore.types.precision import Precision
from ashore.types.recipe import LayerRule, Recipe
from ashore.types.tensor import TensorSpec
from ashore_converters.bake import bake
from ashore_converters.executorch.check import runs_as_quantized
from ashore_converters.executorch.export import export, export_again
from ashore_converters.executorch.four_bits import quantize_4bit
from ashore_converters.executorch.half import HalfInside
from ashore_converters.executorch.layers import attention_paths
from ashore_converters.executorch.lower import LayersLeftOut, lower
from ashore_converters.executorch.places import placed_layers
from ashore_converters.executorch.quantize import QuantizedProgram, quantize_dynamic
from ashore_converters.executorch.recurrent import forget, loop_with_called_steps, loops
from ashore_converters.executorch.sharing import share_weights
from ashore_converters.executorch.static import quantize_static
from ashore_converters.layer_rules import enclosing, precision_at
from ashore_converters.repairs.choose import with_repairs
from ashore_converters.rounding import Chosen, with_carried_out


@dataclass(frozen=True)
class Written:
    """What came of a conversion; ``recipe`` is the one that was carried out."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    recipe: Recipe
    warnings: tuple[str, ...] = ()
    layers: tuple[PlacedLayer, ...] = ()


def write_program(request: ConversionRequest, destination: Path, progress: Progress) -> Written:
    return with_repairs(request, progress, lambda repaired: _write_repaired(repaired, destination, progress))


def _write_repaired(request: ConversionRequest, destination: Path, progress: Progress) -> Written:
    module, rounding = _prepared_module(request, progress)
    progress("exporting with torch.export")
    steps = loop_with_called_steps(module) if loops(request) else []
    try:
        program = export_again(module, request) if isinstance(module, GraphModule) else export(module, request)
        written = _write_program(program, rounding, request, destination, progress)
        return replace(written, layers=placed_layers(program.graph))
    finally:
        forget(steps)


def _write_program(
    program: ExportedProgram, rounding: Chosen, request: ConversionRequest, destination: Path, progress: Progress
) -> Written:
    try:
        return _write_quantized(_quantized(program, rounding, request, progress), request, destination, progress)
    except LayersLeftOut as left_out:
        again = _without(left_out.module_paths, request)
        told = f"{', '.join(left_out.module_paths)} stay in fp32: XNNPACK does not take them in int8"
        quantized = _quantized(program, rounding, again, progress)
        quantized = replace(quantized, warnings=(*quantized.warnings, told))
        return _write_quantized(quantized, again, destination, progress)


def _write_quantized(
    quantized: QuantizedProgram, request: ConversionRequest, destination: Path, progress: Progress
) -> Written:
    progress("lowering to XNNPACK")
    _write(lower(quantized.program, lambda path: _int8_at(path, request.recipe)), destination)
    rounding = quantized.rounding
    recipe = with_carried_out(quantized.recipe, by_gptq=bool(rounding.rounded))
    return Written(quantized.inputs, quantized.outputs, recipe, (*rounding.told, *quantized.warnings))


def _without(module_paths: list[str], request: ConversionRequest) -> ConversionRequest:
    """The same request with these layers in float."""
    rules = tuple(LayerRule(re.escape(path), Precision.FP32) for path in module_paths)
    if "" in module_paths or set(rules) <= set(request.recipe.layers):
        raise LoweringFailed(
            f"XNNPACK does not take these layers in int8, and they cannot be named to keep them float: {module_paths}",
            "put functional convolutions and linear calls into modules, or use --precision fp16",
        )
    return replace(request, recipe=replace(request.recipe, layers=(*rules, *request.recipe.layers)))


def _int8_at(path: str, recipe: Recipe) -> bool:
    return precision_at(recipe, enclosing(path)) not in (Precision.FP32, Precision.FP16)


def _prepared_module(request: ConversionRequest, progress: Progress) -> tuple[torch.nn.Module, Chosen]:
    precision = request.recipe.precision
    module = bake(request.model, keep=runs_as_quantized if precision is Precision.INT4 else None)
    if precision is Precision.INT4:
        if attention_paths(module):  # captured first, each of its matrices is an operand of a linear operator
            module = export(module, request).module(check_guards=False)
        return module, quantize_4bit(module, request, progress)
    return HalfInside(module) if precision is Precision.FP16 else module, Chosen()


def _quantized(
    program: ExportedProgram, rounding: Chosen, request: ConversionRequest, progress: Progress
) -> QuantizedProgram:
    """``rounding``: of the 4-bit weights that the program has already."""
    plain = QuantizedProgram(program, request.inputs, request.outputs, request.recipe, rounding=rounding)
    if is_quantized_program(request.model):
        return plain
    if request.recipe.precision is Precision.INT8:
        return quantize_static(program, request, progress)
    if request.recipe.precision is Precision.INT8_DYNAMIC:
        progress("quantizing the weights of linear layers")
        return quantize_dynamic(program, request, progress)
    return plain


def _write(lowered: Any, destination: Path) -> None:
    try:
        with destination.open("wb") as file:
            lowered.write_to_file(file)
        share_weights(destination)
    except BaseException:
        destination.unlink(missing_ok=True)
        raise
