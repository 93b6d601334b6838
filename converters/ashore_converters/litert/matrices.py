"""Linear layers and convolutions of a LiteRT file as matrix products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ashore.types.tensor import Array
from ashore_converters.litert.file import FileGraph, FileTensor
from ashore_converters.litert.weights import Weight

if TYPE_CHECKING:
    from torch import Tensor

    from ashore_converters.patches import Pair, Window

MATRICES = {"FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D"}
_INTO_PYTORCH = {"CONV_2D": (0, 3, 1, 2), "DEPTHWISE_CONV_2D": (3, 0, 1, 2)}
_INTO_FILE = {"CONV_2D": (0, 2, 3, 1), "DEPTHWISE_CONV_2D": (1, 2, 3, 0)}
"""Axes of a convolution's weight; PyTorch has [out, in of a group, height, width]."""

_SAME = 0
"""In the schema: zeros all around, so many that a stride of one leaves the size as it is."""


@dataclass(frozen=True)
class Layer:
    """One operator of ``graph`` with its weight."""

    weight: Weight
    graph: FileGraph

    @property
    def input(self) -> FileTensor:
        return self.graph.tensors[self.weight.op.inputs[0]]

    @property
    def matrix(self) -> Tensor:
        """[out, in] of a linear layer, [groups, out, in] of a convolution."""
        kernels = self._kernels
        return kernels.reshape(self._groups, -1, kernels[0].numel()) if self._convolves else kernels

    def filed(self, matrix: Tensor) -> Tensor:
        """Other values of :attr:`matrix`, as the file has them."""
        values = matrix.reshape(self._kernels.shape)
        return values.permute(_INTO_FILE[self.weight.op.name]) if self._convolves else values

    def rows(self, x: Array) -> Tensor:
        """What of the layer's input :attr:`matrix` is multiplied with."""
        import torch

        from ashore_converters.patches import patches

        if not self._convolves:
            return torch.from_numpy(x).reshape(-1, self._kernels.shape[1])
        pictures = torch.from_numpy(x).permute(0, 3, 1, 2)
        return patches(pictures, self._window(pictures.shape[2], pictures.shape[3]))

    @property
    def _convolves(self) -> bool:
        return self.weight.op.name in _INTO_PYTORCH

    @property
    def _kernels(self) -> Tensor:
        values = self.weight.values
        return values.permute(_INTO_PYTORCH[self.weight.op.name]) if self._convolves else values

    @property
    def _groups(self) -> int:
        return int(self.input.shape[-1] // self._kernels.shape[1])

    def _window(self, height: int, width: int) -> Window:
        from ashore_converters.patches import Window

        options, kernel = self.weight.options, (self._kernels.shape[2], self._kernels.shape[3])
        stride, dilation = (options.strideH, options.strideW), (options.dilationHFactor, options.dilationWFactor)
        padding = (0, 0, 0, 0)
        if options.padding == _SAME:
            ends = [_same(*along) for along in zip((height, width), kernel, stride, dilation, strict=True)]
            padding = (*ends[1], *ends[0])
        return Window(kernel, stride, dilation, padding, self._groups)


def _same(size: int, kernel: int, stride: int, dilation: int) -> Pair:
    """Zeros before and after, along one axis; an odd one comes after."""
    last = (-(-size // stride) - 1) * stride
    zeros = max(0, last + (kernel - 1) * dilation + 1 - size)
    return zeros // 2, zeros - zeros // 2
