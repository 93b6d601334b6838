"""What can be said of a model and a recipe before any work is done."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ashore.errors import UnsupportedModel
from ashore.sources.layers import check_layer_rules
from ashore.sources.quantized import is_quantized_program
from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore_converters.bake import (
    QuantizedWeight,
    count_packed_linear,
    quantized_weights,
    recurrent_layers,
    refuse_dynamic_inputs,
    refuse_packed_layers,
    user_path,
)
from ashore_converters.executorch.layers import attention_paths, count_convolutions, linear_weights, refuse_volumes
from ashore_converters.executorch.recurrent import loops
from ashore_converters.recurrent import recurrent_paths

_FLOAT, _HALF, _STATIC = Precision.FP32, Precision.FP16, Precision.INT8
_DYNAMIC, _FOUR_BITS = Precision.INT8_DYNAMIC, Precision.INT4

_LAYER_PRECISIONS = {
    _FLOAT: (_FLOAT,),
    _HALF: (_HALF,),
    _STATIC: (_FLOAT, _STATIC, _DYNAMIC),
    _DYNAMIC: (_FLOAT, _DYNAMIC),
    _FOUR_BITS: (_FLOAT, _FOUR_BITS),
}
"""What a file's layers may be, by the file's own precision."""

_LAYER_CALLS = ("aten.linear", "aten.conv")
_SHOWN = 6


def cautions(request: ConversionRequest) -> tuple[str, ...]:
    """What the user should know beforehand.

    Raises:
        UnsupportedModel: the recipe or the model asks for something XNNPACK cannot do.
        UsageError: a layer rule names no layer.
    """
    _refuse_recipe(request)
    refuse_volumes(request.model)
    refuse_packed_layers(request.model)
    _refuse_doubles(request)
    _refuse_mixed_formats(request)
    _refuse_attention_with_loops(request)
    check_layer_rules(request.recipe, request.model.get_submodule("model"))
    if is_quantized_program(request.model):
        return _own_quantization(request)
    return (*_already_quantized(request), *_unrolled(request), *_left_float(request))


def runs_as_quantized(weight: QuantizedWeight) -> bool:
    """XNNPACK has kernels for dynamic int8 inputs with 4-bit weights in groups, and 4 or 8-bit weights by row."""
    return weight.dynamic_activations and (weight.bits == 4 or (weight.bits == 8 and not weight.grouped))


def _refuse_recipe(request: ConversionRequest) -> None:
    recipe = request.recipe
    for rule in recipe.layers:
        allowed = _LAYER_PRECISIONS[recipe.precision]
        if rule.precision not in allowed:
            raise UnsupportedModel(
                f"layer rule {rule.pattern!r} asks for {rule.precision} in a file of {recipe.precision}",
                f"on ExecuTorch layers of such a file may be {', '.join(allowed)}",
            )
    if recipe.int8_io and recipe.precision is not _STATIC:
        raise UnsupportedModel(
            f"int8_io asks for int8 tensors at the edge of a file of {recipe.precision}",
            "only static int8 has fixed scales to give them: use --precision int8, or drop int8_io",
        )


def _refuse_mixed_formats(request: ConversionRequest) -> None:
    """fp16 halves the weights that are float32, and the casts between the parts then bring the two together."""
    formats = {weight.dtype for weight in request.model.parameters() if weight.is_floating_point()}
    if request.recipe.precision is _HALF and torch.float32 in formats and len(formats) > 1:
        words = ", ".join(sorted(str(each).removeprefix("torch.") for each in formats))
        raise UnsupportedModel(
            f"the model keeps its weights in several formats ({words}), and --precision {_HALF} would mix them up",
            f"use --precision {_FLOAT}, which keeps each part in its own format, or .float() the model and take the "
            "casts out of its forward",
        )


def _refuse_doubles(request: ConversionRequest) -> None:
    """XNNPACK takes none, so that such layers would stay as they are, and the file as large."""
    doubles = [name for name, weight in request.model.named_parameters() if weight.dtype is torch.float64]
    precision = request.recipe.precision
    if doubles and precision is not _FLOAT:
        raise UnsupportedModel(
            f"the weights hold float64 numbers ({user_path(doubles[0])}), which cannot be made {precision}",
            "call .float() on the model and take its own casts to that format out of forward",
        )


def _refuse_attention_with_loops(request: ConversionRequest) -> None:
    """In 4 bits the one is captured before its weights are rounded, the other becomes a loop only afterwards."""
    attention, recurrent = attention_paths(request.model), recurrent_layers(request.model)
    if request.recipe.precision is _FOUR_BITS and attention and recurrent:
        raise UnsupportedModel(
            f"{_FOUR_BITS} cannot have {_some(attention)} (MultiheadAttention) and "
            f"{_some(list(recurrent))} (recurrent) in one ExecuTorch file",
            f"use --precision {_DYNAMIC} or --to litert",
        )


def _own_quantization(request: ConversionRequest) -> tuple[str, ...]:
    recipe = request.recipe
    if recipe.precision not in (_STATIC, _DYNAMIC) or recipe.layers or recipe.int8_io:
        asked = "layer rules or int8_io" if recipe.layers or recipe.int8_io else str(recipe.precision)
        raise UnsupportedModel(
            f"the model is quantized already, and {asked} would change what it computes",
            f"use --precision {_STATIC} or {_DYNAMIC}, which keep its own quantization, or give the float model",
        )
    _refuse_shifted_weights(request)
    told = "the model is quantized already; the file keeps that quantization"
    paths = _recurrent(request, looped=True)
    anew = f"{_some(paths)}: the weights for the state are quantized anew by row, those for the input stay in fp32"
    return (told, anew) if paths else (told,)


def _refuse_shifted_weights(request: ConversionRequest) -> None:
    """XNNPACK's layers take symmetric weights alone, which it tells when the file is loaded."""
    graphs = [layer.graph for layer in request.model.modules() if isinstance(layer, torch.fx.GraphModule)]
    calls = (node for graph in graphs for node in graph.nodes if str(node.target).startswith(_LAYER_CALLS))
    for call in calls:
        if zero := _stored_zero_point(call.args[1]):
            raise UnsupportedModel(
                f"the weights of {call.name!r} are quantized with the zero point {zero}, and XNNPACK's layers take 0",
                "quantize the weights to symmetric int8 (onnxruntime: WeightSymmetric), or use --to litert",
            )


def _stored_zero_point(weight: object) -> int:
    """0 also where ``weight`` is none of the model's own, or has one for every channel."""
    if not isinstance(weight, torch.fx.Node) or not str(weight.target).endswith("dequantize_per_tensor.default"):
        return 0
    stored, _, zero = weight.args[:3]
    return zero if isinstance(stored, torch.fx.Node) and stored.op == "get_attr" and isinstance(zero, int) else 0


def _already_quantized(request: ConversionRequest) -> Iterator[str]:
    weights = quantized_weights(request.model)
    if request.recipe.precision is _FOUR_BITS:
        for weight in weights:
            _refuse_unknown_width(weight)
        weights = tuple(weight for weight in weights if not runs_as_quantized(weight))
    if request.recipe.precision is _FLOAT:
        _refuse_dynamic_inputs(weights)
    if weights:
        yield (
            f"the weights of {_some([weight.module_path for weight in weights])} were quantized by torchao; they are "
            f"dequantized first, and the file's precision is {request.recipe.precision}"
        )


def _refuse_dynamic_inputs(weights: tuple[QuantizedWeight, ...]) -> None:
    dynamic = [weight for weight in weights if weight.dynamic_activations]
    if dynamic:
        native = all(runs_as_quantized(weight) for weight in dynamic)
        refuse_dynamic_inputs(_some([weight.module_path for weight in dynamic]), _FOUR_BITS if native else _DYNAMIC)


def _refuse_unknown_width(weight: QuantizedWeight) -> None:
    if weight.dynamic_activations and weight.bits is not None and not runs_as_quantized(weight):
        grouped = " in groups" if weight.grouped else ""
        raise UnsupportedModel(
            f"layer '{weight.module_path}' holds {weight.bits}-bit weights{grouped}, for which XNNPACK has no kernel",
            "quantize it to 4 bits in groups or to 8 bits by row, or convert it with --precision int8-dynamic",
        )


def _left_float(request: ConversionRequest) -> Iterator[str]:
    precision = request.recipe.precision
    linear, convolutions = list(linear_weights(request.model)), count_convolutions(request.model)
    if precision is _HALF and convolutions:
        yield (
            f"executorch stores the weights of convolutions in fp32 also for {precision}: {_counted(convolutions)} of "
            "this model will not shrink; int8 makes them four times smaller"
        )
    if precision in (_FLOAT, _HALF):
        return
    matrices = len(linear) + count_packed_linear(request.model) + len(_recurrent(request, looped=True))
    _refuse_nothing_to_quantize(precision, matrices, convolutions)
    yield from _in_halves(request)
    if precision in (_DYNAMIC, _FOUR_BITS) and convolutions:
        yield (
            f"{precision} quantizes linear layers only: {_counted(convolutions)} of this model "
            f"{'stays' if convolutions == 1 else 'stay'} in fp32; static int8 quantizes them as well"
        )
    if precision is _FOUR_BITS:
        size = request.recipe.group_size
        odd = [weight.path for weight in linear if not weight.divides_into(size)]
        if len(odd) == matrices:
            raise UnsupportedModel(
                f"{precision} has nothing to quantize: the inputs of no linear layer divide into groups of {size}",
                f"set another group_size in a recipe, such as 32, or use --precision {_DYNAMIC}",
            )
        if odd:
            yield f"{_some(odd)} stay in fp32: their inputs do not divide into groups of {size}"


def _in_halves(request: ConversionRequest) -> Iterator[str]:
    """XNNPACK's kernels for integers give float32, which layers in another format do not go on with."""
    weights = [(name, weight) for name, weight in request.model.named_parameters() if weight.dim() > 1]
    for half in (torch.float16, torch.bfloat16):
        if paths := [user_path(name.rpartition(".")[0]) for name, weight in weights if weight.dtype is half]:
            stay = "stays" if len(paths) == 1 else "stay"
            yield f"{_some(paths)} {stay} in {str(half).removeprefix('torch.')}: only weights in float32 are quantized"


def _unrolled(request: ConversionRequest) -> Iterator[str]:
    paths = _recurrent(request, looped=False)
    if paths:
        yield (
            f"{_some(paths)}: unrolled over time, some twenty operators and a second of conversion a step, with fp32 "
            "weights; LSTM and GRU become loops in fp32 and int8, with fixed shapes"
        )


def _refuse_nothing_to_quantize(precision: Precision, linear: int, convolutions: int) -> None:
    if linear or (precision is _STATIC and convolutions):
        return
    kinds = "linear layer or convolution" if precision is _STATIC else "linear layer"
    raise UnsupportedModel(
        f"{precision} has nothing to quantize: the model has no {kinds}",
        "use --precision int8, which quantizes convolutions as well" if convolutions else "use --precision fp16",
    )


def _counted(convolutions: int) -> str:
    return f"{convolutions} convolution{'' if convolutions == 1 else 's'}"


def _some(paths: list[str]) -> str:
    shown = ", ".join(f"'{path}'" for path in paths[:_SHOWN])
    return f"{shown} and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else shown


def _recurrent(request: ConversionRequest, *, looped: bool) -> list[str]:
    return recurrent_paths(request.model, may_loop=loops(request), looped=looped)
