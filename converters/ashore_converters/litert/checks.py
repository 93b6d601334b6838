"""What is known of a request before the work starts: refusals and cautions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ashore.errors import UnsupportedModel
from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore.types.recipe import Recipe
from ashore_converters.bake import (
    quantized_weights,
    recurrent_layers,
    refuse_dynamic_inputs,
    refuse_packed_layers,
    user_path,
)
from ashore_converters.litert.quantize import GROUP_SIZES

_OWN_PRECISIONS = (Precision.INT8, Precision.INT8_DYNAMIC)
"""Precisions under which a model that PT2E has quantized passes as it is."""

_SHOWN = 4


def cautions(request: ConversionRequest) -> tuple[str, ...]:
    """What the user should know beforehand.

    Raises:
        UnsupportedModel: the recipe or the model asks for something LiteRT cannot do.
    """
    from ashore_converters.litert.pt2e import Pt2e, quantization_of

    _refuse_recipe(request.recipe)
    refuse_packed_layers(request.model)
    _refuse_formats(request)
    if quantization := quantization_of(request.model):
        _refuse_requantizing(request.recipe)
        told = "the model is quantized already; the file keeps that quantization"
        paths = recurrent_layers(request.model) if quantization is Pt2e.STATIC else {}
        return (told, f"{_some(paths)}: the weights of recurrent layers stay in fp32") if paths else (told,)
    return (*_already_quantized(request), *_unsuited(request))


def _refuse_recipe(recipe: Recipe) -> None:
    if recipe.int8_io and recipe.precision is not Precision.INT8:
        raise UnsupportedModel(
            f"int8_io asks for int8 tensors at the edge of a file of {recipe.precision}",
            "only static int8 has fixed scales to give them: use --precision int8, or drop int8_io",
        )
    for rule in recipe.layers:
        if rule.precision is Precision.MIXED or (
            rule.precision is Precision.INT8 and recipe.precision is not Precision.INT8
        ):
            raise UnsupportedModel(
                f"layer rule {rule.pattern!r} asks for {rule.precision} in a file of {recipe.precision}",
                "a layer may be fp32, fp16, int8-dynamic or int4 in any file, and int8 in a file of --precision int8",
            )
    if Precision.INT4 in recipe.precisions and recipe.group_size not in GROUP_SIZES:
        raise UnsupportedModel(
            f"LiteRT has no int4 weights in groups of {recipe.group_size}",
            f"set group_size to one of {', '.join(map(str, GROUP_SIZES))}",
        )


def _refuse_formats(request: ConversionRequest) -> None:
    """LiteRT's operators take no float16 or float64 operands, as its compiler says, and bfloat16 is unknown to it."""
    import torch

    halves, weights = (torch.float16, torch.bfloat16), list(request.model.named_parameters())
    found = [each for each in (*weights, *request.model.named_buffers()) if each[1].dtype in halves]
    found += [each for each in weights if each[1].dtype is torch.float64]  # a buffer may be cast before it is used
    if found:
        name, weight = found[0]
        raise UnsupportedModel(
            f"the weights hold {str(weight.dtype).removeprefix('torch.')} numbers ({user_path(name)}), "
            "in which LiteRT cannot compute",
            "call .float() on the model and take its own casts to that format out of forward; "
            "--precision fp16 then halves the file",
        )


def _refuse_requantizing(recipe: Recipe) -> None:
    if recipe.precision not in _OWN_PRECISIONS or recipe.layers:
        asked = f"{recipe.precision}{' with layer rules' if recipe.layers else ''}"
        raise UnsupportedModel(
            f"the model is quantized already and cannot be made {asked}",
            f"use --precision {' or '.join(_OWN_PRECISIONS)}, which keep its own quantization, or give the float model",
        )


def _already_quantized(request: ConversionRequest) -> Iterator[str]:
    weights = quantized_weights(request.model)
    dynamic = [weight.module_path for weight in weights if weight.dynamic_activations]
    if dynamic and request.recipe.precision is Precision.FP32:
        refuse_dynamic_inputs(_some(dynamic), Precision.INT8_DYNAMIC)
    if weights:
        yield (
            f"the weights of {_some(weight.module_path for weight in weights)} were quantized by torchao; they are "
            f"dequantized first, and the file's precision is {request.recipe.precision}"
        )


def _unsuited(request: ConversionRequest) -> Iterator[str]:
    asked = request.recipe.precisions
    if request.recipe.precision is Precision.INT8 and _is_sequence_model(request):
        yield (
            "in transformers and recurrent nets only layers with weights become static int8 on LiteRT; int8-dynamic "
            "is smaller there, needs no calibration and is usually faster"
        )
    unrolled = _unrolled(request)
    if unrolled:
        yield (
            f"{_some(unrolled)}: unrolled over time; the file and the time of its conversion grow with the sequence "
            "(256 steps: two minutes); LSTM and GRU become loops where shapes are fixed"
        )
    convolutions, depthwise = _convolutions(request)
    if asked & {Precision.INT8_DYNAMIC, Precision.INT4} and depthwise:
        yield (
            f"the depthwise convolutions ({_some(depthwise)}) run outside of the delegate in "
            f"{request.recipe.precision}, which can be slower than fp32; --precision int8 suits convolutional nets"
        )
    if Precision.INT4 in asked and convolutions:
        yield f"the weights of convolutions ({_some(convolutions)}) stay int8: LiteRT has 4 bits for matrices only"


def loops(request: ConversionRequest) -> bool:
    """Whether recurrent layers can be loops: their turns are counted when the file is made."""
    return not any(spec.dynamic for spec in request.inputs)


def _unrolled(request: ConversionRequest) -> list[str]:
    from ashore_converters.recurrent import recurrent_paths

    return recurrent_paths(request.model, may_loop=loops(request), looped=False)


def _is_sequence_model(request: ConversionRequest) -> bool:
    import torch

    return any(
        isinstance(layer, torch.nn.RNNBase | torch.nn.RNNCellBase) or "Attention" in type(layer).__name__
        for layer in request.model.modules()
    )


def _convolutions(request: ConversionRequest) -> tuple[list[str], list[str]]:
    """Paths of all convolutions and of those that filter each channel on its own."""
    import torch

    found = [(n, m) for n, m in request.model.named_modules() if isinstance(m, torch.nn.Conv1d | torch.nn.Conv2d)]
    depthwise = [user_path(name) for name, layer in found if layer.groups == layer.in_channels > 1]
    return [user_path(name) for name, _ in found], depthwise


def _some(paths: Iterable[str]) -> str:
    names = list(paths)
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
