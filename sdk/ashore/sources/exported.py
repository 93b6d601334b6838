"""``file.pt2``: programs saved by ``torch.export.save``."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ashore.errors import UsageError
from ashore.types.source import ModelSource
from ashore.types.tensor import DynamicDim

if TYPE_CHECKING:
    import torch

_UNBOUNDED = 4096
"""A dynamic dimension that the program leaves open is planned up to this size; memory is reserved for it."""


def load_program(path: Path, examples: Mapping[str, Any] | None = None) -> ModelSource:
    """Raises UsageError where ``path`` is missing or is no program of torch.export."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}", "save one with torch.export.save(program, path)")
    if not zipfile.is_zipfile(path):
        raise UsageError(f"{path} is not a .pt2 archive", "save one with torch.export.save(program, path)")
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of its own archive format's evolution
            program = torch.export.load(path)
    except Exception as error:
        raise UsageError(
            f"{path} could not be loaded as a torch.export program: {type(error).__name__}: {_first_line(error)}",
            f"save it with torch.export.save under torch {torch.__version__}, and import the libraries whose "
            "operators it uses",
        ) from error
    return from_program(program, path.stem, examples)


def from_program(
    program: torch.export.ExportedProgram, name: str, examples: Mapping[str, Any] | None = None
) -> ModelSource:
    """A source of a program in memory; its dynamic dimensions come with it, and its example inputs unless given."""
    if program.example_inputs is None and examples is None:
        raise UsageError(f"the program {name!r} carries no example inputs", "give them with --inputs or --shape")
    args, kwargs = program.example_inputs or ((), dict(examples or {}))
    example = {**dict(zip(_positional_names(program), args, strict=False)), **kwargs} if kwargs else args
    return ModelSource(program, example, name, dynamic_shapes=_dynamic_shapes(program))


def _positional_names(program: torch.export.ExportedProgram) -> list[str]:
    return [str(name) for name in program.graph_signature.user_inputs]


def _dynamic_shapes(program: torch.export.ExportedProgram) -> dict[str, dict[int, DynamicDim]]:
    found: dict[str, dict[int, DynamicDim]] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in program.graph_signature.user_inputs:
            value = node.meta.get("val")
            axes = {axis: _dim(size, program) for axis, size in enumerate(getattr(value, "shape", ())) if _open(size)}
            if axes:
                found[node.name] = axes
    return found


def _open(size: Any) -> bool:
    return not isinstance(size, int)


def _dim(size: Any, program: torch.export.ExportedProgram) -> DynamicDim:
    bounds = program.range_constraints.get(size.node.expr)
    low, high = (bounds.lower, bounds.upper) if bounds is not None else (1, _UNBOUNDED)
    return DynamicDim(str(size), max(1, _bound(low, 1)), _bound(high, _UNBOUNDED))


def _bound(value: Any, otherwise: int) -> int:
    try:
        return min(int(value), _UNBOUNDED)
    except (OverflowError, TypeError, ValueError):  # sympy's infinity
        return otherwise


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]
