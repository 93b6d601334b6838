"""The files that are run: MobileNetV2 by ashore, and the int8 files that the libraries' own defaults make of it."""

from __future__ import annotations

import sys
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from processes import ashore_command, cost_of

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXAMPLES = {name: f"{ROOT / 'examples' / name}.py:model" for name in ("mobilenet_v2", "minilm")}
BACKENDS, PRECISIONS = ("executorch", "litert"), ("fp32", "int8")
SUFFIX = {"executorch": "pte", "litert": "tflite"}


class Files:
    """Made when they are first asked for, unless the conversions of this very run made them before.

    Never taken from elsewhere: files of an older ashore have cost a figure that was then another version's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def artifact(self, backend: str, precision: str, example: str = "mobilenet_v2") -> Path:
        name = f"{example}.{backend}.{precision}.{SUFFIX[backend]}"
        path = self.folder / "out" / name
        if not path.is_file():
            cost_of(convert_command(backend, precision, self.folder / "out", example))
        return path

    def artifacts(self) -> list[tuple[str, str, Path]]:
        return [
            (backend, precision, self.artifact(backend, precision)) for backend in BACKENDS for precision in PRECISIONS
        ]

    def stock(self, backend: str) -> Path:
        path = self.folder / stock_name(backend, "int8")
        if not path.is_file():
            cost_of(bare_command(backend, "int8", self.folder))
        return path

    @cached_property
    def picture(self) -> NDArray[np.float32]:
        """(1, 3, 224, 224), 602 kB."""
        return np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)

    @cached_property
    def picture_file(self) -> Path:
        path = self.folder / "picture.f32"
        path.write_bytes(self.picture.tobytes())
        return path


def convert_command(backend: str, precision: str, out: Path, example: str = "mobilenet_v2") -> list[str]:
    return ashore_command("convert", EXAMPLES[example], "--to", backend, "--precision", precision, "-o", str(out))


def bare_command(backend: str, precision: str, folder: Path) -> list[str]:
    program, out = HERE / "bare_conversion.py", folder / stock_name(backend, precision)
    return [sys.executable, str(program), backend, precision, str(out)]


def stock_name(backend: str, precision: str) -> str:
    return f"stock.{backend}.{precision}"
