"""What is known of a request before the work starts: refusals and cautions."""

from __future__ import annotations

from collections.abc import Iterator

from ashore.errors import UnsupportedModel
from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore_converters.bake import user_path
from ashore_converters.litert_layers import check_rules
from ashore_converters.litert_quantize import GROUP_SIZES


def cautions(request: ConversionRequest) -> tuple[str, ...]:
    """Raises UnsupportedModel or UsageError where the request cannot be met."""
    _refuse_precisions(request)
    check_rules(request.recipe.layers, [user_path(path) for path, _ in request.model.named_modules()])
    return tuple(_cautions(request))


def _refuse_precisions(request: ConversionRequest) -> None:
    asked = {request.recipe.precision, *(rule.precision for rule in request.recipe.layers)}
    if Precision.MIXED in asked:
        raise UnsupportedModel(
            "the litert converter does not search for a mixed precision",
            "use --precision int8 with layer rules that keep sensitive layers in fp32",
        )
    if Precision.INT4 in asked and request.recipe.group_size not in GROUP_SIZES:
        raise UnsupportedModel(
            f"LiteRT has no int4 weights in groups of {request.recipe.group_size}",
            f"set group_size to one of {', '.join(map(str, GROUP_SIZES))}",
        )


def _cautions(request: ConversionRequest) -> Iterator[str]:
    kinds = {type(layer).__name__ for layer in request.model.modules()}
    convolves = any(kind.startswith("Conv") for kind in kinds)
    attends = any("Attention" in kind for kind in kinds)
    match request.recipe.precision:
        case Precision.INT8 if attends or kinds & {"LSTM", "GRU", "RNN"}:
            yield (
                "static int8 costs transformers and recurrent nets accuracy, and much of it runs outside the delegate "
                "on LiteRT; int8-dynamic is usually smaller, faster and closer there"
            )
        case Precision.INT8_DYNAMIC | Precision.INT4 if convolves:
            yield (
                f"{request.recipe.precision} leaves depthwise convolutions outside the delegate on LiteRT, which can "
                "be slower than fp32; static int8 is the precision for convolutional nets"
            )
