"""Small helpers of the tests that make real files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.fx import Graph, GraphModule

import ashore
from ashore import Artifact, ModelSource, Recipe


def samples(*shapes: Sequence[int], count: int = 16) -> list[tuple[torch.Tensor, ...]]:
    """Normal noise for inputs of these shapes, always the same."""
    generator = torch.Generator().manual_seed(3)
    return [tuple(torch.randn(*shape, generator=generator) for shape in shapes) for _ in range(count)]


def noisy_source(model: torch.nn.Module, *shapes: Sequence[int], **options: Any) -> ModelSource:
    """A source calibrated and judged on noise."""
    drawn = samples(*shapes)
    return ModelSource(model.eval(), drawn[0], "net", calibration=drawn[:12], evaluation=drawn[12:], **options)


def to_executorch(source: ModelSource, precision: str, folder: Path, recipe: Recipe | None = None) -> Artifact:
    """Converted, judged on the host and published; raises where it falls below the precision's floor."""
    (artifact,) = ashore.convert(source, to=["executorch"], precisions=[precision], recipe=recipe, output=folder)
    return artifact


def to_litert(source: ModelSource, precision: str, folder: Path, recipe: Recipe | None = None) -> Artifact:
    """As :func:`to_executorch`, for the other backend."""
    (artifact,) = ashore.convert(source, to=["litert"], precisions=[precision], recipe=recipe, output=folder)
    return artifact


def rounded_relu() -> GraphModule:
    """A model with a scale of its own, in the operators that PT2E writes."""
    import torch.ao.quantization.fx._decomposed  # defines them

    packet, grid = torch.ops.quantized_decomposed, (0.1, 0, -128, 127, torch.int8)
    graph = Graph()
    quantized = graph.call_function(packet.quantize_per_tensor.default, (graph.placeholder("x"), *grid))
    real = graph.call_function(packet.dequantize_per_tensor.default, (quantized, *grid))
    graph.output(graph.call_function(torch.relu, (real,)))
    return GraphModule({}, graph)
