"""What a convolution multiplies its weights with: for each place of its outputs, the inputs under its kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_MOST_BYTES = 2**28
"""Of the patches of one picture; from a larger one, every second or third row and column are taken."""

Pair = tuple[int, int]
"""Along height and along width."""


@dataclass(frozen=True)
class Window:
    """How a convolution moves over its inputs. ``padding``: zeros left, right, above and below."""

    kernel: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1


def patches(pictures: Tensor, window: Window) -> Tensor:
    """[batch, channels, height, width] -> [groups, places, channels of a group x kernel], ordered as weights are."""
    padded = torch.nn.functional.pad(pictures, window.padding)
    stride = _thinned(padded, window)
    unfolded = torch.nn.functional.unfold(padded, window.kernel, window.dilation, stride=stride)
    grouped = unfolded.reshape(len(padded), window.groups, -1, unfolded.shape[-1])  # [batch, groups, in, places]
    return grouped.permute(1, 0, 3, 2).flatten(1, 2)


def _thinned(padded: Tensor, window: Window) -> Pair:
    kernel, (down, right) = math.prod(window.kernel), window.stride
    size = padded.numel() * padded.element_size() * kernel // (down * right)
    every = math.ceil(math.sqrt(size / _MOST_BYTES))
    return down * every, right * every
