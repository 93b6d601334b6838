"""A model that computes in half precision behind float32 inputs and outputs."""

from __future__ import annotations

import torch


class HalfInside(torch.nn.Module):
    """Casts float32 inputs to half, runs ``inner`` in half precision, casts its float results back to float32.

    Integer and boolean inputs and outputs are untouched. ``inner`` keeps its name ``model`` for its children, so that
    module paths stay the user's.
    """

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.model = inner.half()

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        halved = (tensor.half() if tensor.dtype is torch.float32 else tensor for tensor in tensors)
        results: tuple[torch.Tensor, ...] = self.model(*halved)
        return tuple(result.float() if result.dtype is torch.float16 else result for result in results)
