"""The layers of a module that can be quantized, found without running or capturing it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ashore.errors import UnsupportedModel
from ashore_converters.bake import user_path

_CONVOLUTIONS = ("Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d")
_VOLUMES = ("Conv3d", "ConvTranspose3d")
_VOLUME_CALLS = ("aten.conv3d", "aten.conv_transpose3d")
_SHOWN = 6
_aten = torch.ops.aten


@dataclass(frozen=True)
class LinearWeight:
    """The weight [out, in] of a linear layer: the parameter ``name`` of ``owner``, at ``path`` in the user's model."""

    owner: torch.nn.Module
    name: str
    path: str

    @property
    def tensor(self) -> torch.Tensor:
        tensor: torch.Tensor = getattr(self.owner, self.name)
        return tensor

    def divides_into(self, group_size: int) -> bool:
        return self.tensor.shape[-1] % group_size == 0


def linear_weights(module: torch.nn.Module) -> Iterator[LinearWeight]:
    """Of ``torch.nn.Linear`` modules, and of the linear operators of captured programs."""
    for path, layer in module.named_modules():
        if isinstance(layer, torch.nn.Linear):
            yield LinearWeight(layer, "weight", user_path(path))
        elif isinstance(layer, torch.fx.GraphModule):
            yield from _linear_operators(layer, path)


def attention_paths(module: torch.nn.Module) -> list[str]:
    """Layers that hand their matrices to one function, in which torchao's tensors are not told of linear calls."""
    layers = module.named_modules()
    return [user_path(path) for path, layer in layers if isinstance(layer, torch.nn.MultiheadAttention)]


def count_convolutions(module: torch.nn.Module) -> int:
    modules = sum(type(layer).__name__ in _CONVOLUTIONS for layer in module.modules())
    graphs = [layer for layer in module.modules() if isinstance(layer, torch.fx.GraphModule)]
    calls = (node for graph in graphs for node in graph.graph.nodes if node.op == "call_function")
    return modules + sum(str(node.target).startswith("aten.conv") for node in calls)


def refuse_volumes(module: torch.nn.Module) -> None:
    """Raises UnsupportedModel for convolutions over three dimensions, in modules or in captured programs.

    A file would be made of them, and fail when it runs: the kernels take tensors of three or four dimensions.
    """
    paths = list(_volumes(module))
    if paths:
        more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
        raise UnsupportedModel(
            f"{', '.join(map(repr, paths[:_SHOWN]))}{more}: "
            "ExecuTorch has no kernel for convolutions over three dimensions",
            "use --to litert, or write them as two-dimensional ones over the slices",
        )


def _volumes(module: torch.nn.Module) -> Iterator[str]:
    """Modules by their path, operators of captured programs by their name."""
    for path, layer in module.named_modules():
        if type(layer).__name__ in _VOLUMES:
            yield user_path(path)
        elif isinstance(layer, torch.fx.GraphModule):
            yield from (node.name for node in layer.graph.nodes if str(node.target).startswith(_VOLUME_CALLS))


def _linear_operators(graph: torch.fx.GraphModule, path: str) -> Iterator[LinearWeight]:
    for node in graph.graph.nodes:
        weight = node.args[1] if node.target is _aten.linear.default else None
        if isinstance(weight, torch.fx.Node) and weight.op == "get_attr":
            owner, _, name = str(weight.target).rpartition(".")
            yield LinearWeight(graph.get_submodule(owner), name, user_path(f"{path}.{owner}".strip(".")))
