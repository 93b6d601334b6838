"""``python originals.py FOLDER [STEM…]``: whole artifacts of tiny models, for ``corpus`` to damage.

A process of its own keeps the converters' noise, and their state, out of the tests.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STEMS = tuple(
    f"{name}.{backend}.{precision}"
    for name, precision in (("image", "fp32"), ("image", "int8"), ("pair", "fp32"), ("rows", "fp32"))
    for backend in ("executorch", "litert")
)
"""Float and int8, several inputs and outputs, and a size that varies."""

FEW = ("image.litert.int8", "pair.executorch.fp32")


def make_originals(folder: Path, stems: Sequence[str]) -> None:
    """Convert them in another process. Raises RuntimeError with what it printed, where that fails."""
    command = [sys.executable, "-W", "ignore", __file__, str(folder), *stems]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise RuntimeError(f"the originals could not be made:\n{made.stderr}")


def _models() -> dict[str, tuple[Any, list[tuple[int, ...]], dict[str, Any]]]:
    """Name -> model, shapes of its inputs, dynamic shapes."""
    import torch
    from torch import Tensor, nn

    from ashore import DynamicDim

    class Image(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.relu(self.conv(x)).mean((2, 3)))

    class Pair(nn.Module):
        """With an operator that XNNPACK does not take."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 5)

        def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            return self.layer(x) + y, (x * 2).cumsum(-1)

    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 5)

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.layer(x))

    torch.manual_seed(0)
    return {
        "image": (Image(), [(1, 3, 8, 8)], {}),
        "pair": (Pair(), [(2, 6), (2, 5)], {}),
        "rows": (Rows(), [(3, 6)], {"x": {0: DynamicDim("rows", 1, 16)}}),
    }


def _convert(folder: Path, stems: Sequence[str]) -> None:
    import ashore
    from conversions import samples

    models = _models()
    for name, backend, precision in (stem.split(".") for stem in stems):
        model, shapes, dynamic = models[name]
        drawn = samples(*shapes)
        source = ashore.ModelSource(
            model.eval(), drawn[0], name, dynamic_shapes=dynamic, calibration=drawn[:12], evaluation=drawn[12:]
        )
        ashore.convert(source, to=[backend], precisions=[precision], output=folder)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    _convert(Path(sys.argv[1]), sys.argv[2:] or STEMS)
