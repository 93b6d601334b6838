"""``python tiny_files.py FOLDER``: small model files of both backends, made with the libraries alone.

Each ``<name>.pte`` and ``<name>.tflite`` hold the same model. A process of its own keeps the converters' noise, and
their state, out of the tests.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class Affine(nn.Module):
    """Two inputs and three outputs, of two element types."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, zebra: Tensor, apple: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.linear(zebra), apple + 1, zebra - 1.0


class Sum(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Count(nn.Module):
    """A dozen inputs: sorted as text, the eleventh would come before the third."""

    def forward(self, *xs: Tensor) -> tuple[Tensor, ...]:
        return tuple(x + float(index) for index, x in enumerate(xs))


class Double(nn.Module):
    """Of a small file and large tensors."""

    def forward(self, x: Tensor) -> Tensor:
        return x + x


class Turn(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(0, 1).contiguous()


def models() -> dict[str, tuple[nn.Module, dict[str, Tensor], Any]]:
    """Name -> model, example inputs, dynamic shapes."""
    torch.manual_seed(0)
    rows = {0: torch.export.Dim("rows", min=1, max=64)}
    dozen = {f"args_{index}": torch.zeros(2) for index in range(12)}
    return {
        "affine": (Affine(), {"zebra": torch.zeros(2, 4), "apple": torch.arange(6)}, None),
        "sum": (Sum(), {"x": torch.zeros(3, 4), "y": torch.zeros(3, 4)}, (rows, rows)),
        "count": (Count(), dozen, None),
        "big": (Double(), {"x": torch.zeros(1, 3, 448, 448)}, None),
        "turn": (Turn(), {"x": torch.zeros(2, 3, dtype=torch.int8)}, None),
    }


def write_executorch(folder: Path) -> None:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    for name, (model, example, dynamic) in models().items():
        program = torch.export.export(model.eval(), tuple(example.values()), dynamic_shapes=dynamic)
        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
        (folder / f"{name}.pte").write_bytes(lowered.buffer)


def write_litert(folder: Path) -> None:
    import litert_torch

    for name, (model, example, dynamic) in models().items():
        named = dynamic is None and name != "count"
        arguments = {"sample_kwargs": example} if named else {"sample_args": tuple(example.values())}
        converted = litert_torch.convert(model.eval(), dynamic_shapes=dynamic, **arguments)
        converted.export(str(folder / f"{name}.tflite"))
    write_quantized(folder)


def write_quantized(folder: Path) -> None:
    """``quantized.tflite``: the affine model, int8 at its edge."""
    import numpy as np
    from litert_quantizer import quantizer, recipe

    job = quantizer.Quantizer(str(folder / "affine.tflite"), recipe.static_wi8_ai8())
    samples = [
        {"zebra": np.full((2, 4), value, np.float32), "apple": np.arange(6, dtype=np.int32)} for value in (-1, 1)
    ]
    job.quantize(job.calibrate({"serving_default": samples})).export_model(str(folder / "quantized.tflite"))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write_executorch(target)
    write_litert(target)
