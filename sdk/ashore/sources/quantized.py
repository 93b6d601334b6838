"""Models that are quantized already, in the graph: by PT2E, or imported from ONNX with its scales."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def is_quantized_program(module: torch.nn.Module) -> bool:
    """Whether it holds a captured graph with scales of its own, which converters keep: nothing is left to calibrate."""
    from torch.fx import GraphModule

    graphs = (layer.graph for layer in module.modules() if isinstance(layer, GraphModule))
    return any(str(node.target).startswith("quantized_decomposed.") for graph in graphs for node in graph.nodes)
