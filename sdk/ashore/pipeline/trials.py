"""What the search for a mixed precision and the diagnosis of layers both ask of a backend's trials."""

from __future__ import annotations

from collections.abc import Sequence

from ashore.errors import UnsupportedModel
from ashore.interfaces import Converter, OffersTrials, Progress, Trial
from ashore.sources.quantized import is_quantized_program
from ashore.types.conversion import ConversionRequest
from ashore.types.sensitivity import LayerCost


def open_trial(converter: Converter, request: ConversionRequest, progress: Progress, *, instead: str) -> Trial:
    """A trial of ``request``.

    Raises:
        UnsupportedModel: the backend offers none, with ``instead`` as the hint; or the model is quantized already.
    """
    if is_quantized_program(request.model):
        raise UnsupportedModel(
            "the model is quantized already, so no layer of it can be tried in another precision",
            "give the float model, or convert it with --precision int8, which keeps its own quantization",
        )
    if not isinstance(converter, OffersTrials):
        raise UnsupportedModel(f"{converter.backend} cannot try precisions layer by layer", instead)
    return converter.trial(request, progress)


def shares_of(chosen: Sequence[LayerCost], every: Sequence[LayerCost]) -> tuple[float, float]:
    """Of all multiplications and of all weights, what ``chosen`` takes."""
    return (
        sum(layer.multiplications for layer in chosen) / max(1, sum(layer.multiplications for layer in every)),
        sum(layer.weights for layer in chosen) / max(1, sum(layer.weights for layer in every)),
    )
