"""A PyTorch model with what is needed to convert it and to judge the result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ashore.types.tensor import DynamicDim, Sample

if TYPE_CHECKING:
    import torch

Samples = Sequence[Any] | Callable[[], Iterable[Any]]
"""Inputs of several runs, or a function that makes them when needed.

A sample is a mapping from input name to array, a tuple in the order of the inputs, or, for a model of one input,
the bare array. Arrays may be numpy's or torch's.
"""


Run = Callable[[Any], Sample]
"""One inference, of PyTorch's model or of a finished file: takes a sample as above, returns arrays by output name."""


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes the model's input, so that the phone can do the same.

    ``range`` is the interval of pixel values before ``mean`` and ``std`` are applied: value = (pixel - mean) / std.
    ``resize`` is (height, width) in pixels.
    """

    resize: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channel_order: str = "RGB"
    range: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        """Lists and arrays, as image libraries give them, become tuples of plain numbers."""
        for name, kind in (("resize", int), ("mean", float), ("std", float), ("range", float)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(kind(number) for number in value))


@dataclass(frozen=True)
class ModelSource:
    """What a user hands to ashore.

    Attributes:
        model: an ``nn.Module`` in any mode (ashore converts a copy in ``eval`` mode) or an ``ExportedProgram``.
        example_inputs: a tuple for positional arguments, or a mapping for keyword arguments.
        name: stem of the files to be written.
        dynamic_shapes: by input name, axis -> DynamicDim, for dimensions chosen at run time.
        calibration: samples on which static ranges are observed; ``"random"`` draws noise like the example, which
            says nothing of accuracy on real inputs and is noted in the manifest.
        evaluation: samples, disjoint from ``calibration``, on which the finished file is judged.
        preprocess: how a picture becomes the input.
        labels: class names, in the order of the scores.
        layouts: by input name, ``NCHW`` or ``NHWC`` for pictures.
        evaluate: measures what the model is for: gets a :data:`Run`, returns numbers by name, the higher the better.
            It is called for PyTorch's model and for every finished file.
        notes: what the readers of the manifest must know of the model, told among its warnings.
    """

    model: torch.nn.Module | torch.export.ExportedProgram
    example_inputs: tuple[Any, ...] | Mapping[str, Any]
    name: str = "model"
    dynamic_shapes: Mapping[str, Mapping[int, DynamicDim]] = field(default_factory=dict)
    calibration: Samples | Literal["random"] | None = None
    evaluation: Samples | None = None
    preprocess: Preprocess | None = None
    labels: tuple[str, ...] | None = None
    layouts: Mapping[str, str] = field(default_factory=dict)
    evaluate: Callable[[Run], Mapping[str, float]] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.labels is not None:
            object.__setattr__(self, "labels", tuple(str(label) for label in self.labels))
