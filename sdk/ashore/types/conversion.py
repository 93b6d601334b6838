"""What passes between the pipeline and a converter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ashore.types.recipe import Recipe
from ashore.types.tensor import Sample, TensorSpec

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ConversionRequest:
    """A model made ready for a backend.

    Attributes:
        model: in eval mode, takes the inputs as positional tensors, returns a tuple of tensors. The user's module is
            its child ``model``, so its graph names carry the prefix ``model.``.
        inputs, outputs: in the order in which ``model`` takes and returns them.
        example: one sample, by input name.
        calibration: samples to observe; empty where the precision needs none.
        recipe: what is asked for.
    """

    model: torch.nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    example: Sample
    calibration: tuple[Sample, ...]
    recipe: Recipe


@dataclass(frozen=True)
class UndelegatedOp:
    op: str
    count: int


@dataclass(frozen=True)
class Delegation:
    """How much of the file runs in the accelerated delegate.

    ``delegated`` and ``total`` count the operators of the graph (each once); ``partitions`` the delegate calls.
    """

    delegated: int
    total: int
    partitions: int
    undelegated: tuple[UndelegatedOp, ...] = ()

    @property
    def share(self) -> float:
        return self.delegated / self.total if self.total else 0.0


class LayerKind(StrEnum):
    """What an engine calls a layer with weights, as far as all engines agree; ``dense`` is a linear layer or a
    convolution over all channels, which engines compute alike where the kernel is one pixel."""

    DENSE = "dense"
    DEPTHWISE = "depthwise"
    TRANSPOSED = "transposed"


@dataclass(frozen=True)
class PlacedLayer:
    """A layer with weights; ``path`` is the module's in the user's model, empty where it has no name."""

    path: str
    kind: LayerKind


@dataclass(frozen=True)
class Conversion:
    """What a converter reports of the file it wrote."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    delegate: str
    delegation: Delegation
    versions: Mapping[str, str]
    recipe: Recipe
    warnings: tuple[str, ...] = ()
    layers: tuple[PlacedLayer, ...] = ()
    """In the order in which the file computes them."""


@dataclass(frozen=True)
class FileContents:
    """What can be read off a model file without running it: tensors, operators and where its bytes go."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    ops: Mapping[str, int]
    delegation: Delegation
    bytes_by_part: Mapping[str, int]
