"""``python profile_files.py FOLDER``: files of both backends whose costs are known in proportion to each other.

``short`` and ``long`` are stacks of 4 and 16 equal layers; ``wide`` has the same answer as ``narrow``, and 64 MB more
in between.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn


class Outer(nn.Module):
    """Sums of an outer product of ``size`` by ``size`` values, which a later step needs whole."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        column = x[:, : self.size].reshape(self.size, 1)
        row = x[:, : self.size].reshape(1, self.size)
        product = column * row
        return torch.matmul(product, column).sum() + product.sum()


def stack(layers: int) -> nn.Module:
    return nn.Sequential(*(layer for _ in range(layers) for layer in (nn.Linear(256, 256), nn.ReLU())))


def models() -> dict[str, tuple[nn.Module, tuple[Tensor, ...]]]:
    torch.manual_seed(0)
    rows, vector = (torch.zeros(128, 256),), (torch.ones(1, 4096),)
    return {
        "short": (stack(4), rows),
        "long": (stack(16), rows),
        "narrow": (Outer(64), vector),
        "wide": (Outer(4096), vector),
    }


def write_executorch(folder: Path) -> None:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    for name, (model, example) in models().items():
        program = torch.export.export(model.eval(), example)
        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
        (folder / f"{name}.pte").write_bytes(lowered.buffer)


def write_litert(folder: Path) -> None:
    import litert_torch

    for name, (model, example) in models().items():
        litert_torch.convert(model.eval(), sample_args=example).export(str(folder / f"{name}.tflite"))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write_executorch(target)
    write_litert(target)
