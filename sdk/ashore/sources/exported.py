"""``file.pt2``: programs saved by ``torch.export.save``."""

from __future__ import annotations

import importlib
import logging
import os
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from ashore.errors import UsageError
from ashore.sources.foreign import first_line
from ashore.types.source import ModelSource
from ashore.types.tensor import DynamicDim, TensorSpec

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
        program = _load(path)
    except UnpicklingError as error:
        raise UsageError(
            f"{path} carries weights in pickled form, which are not loaded: unpickling can run any code",
            "where you trust it, write a Python file whose function returns torch.export.load(path), and convert that",
        ) from error
    except Exception as error:
        raise UsageError(
            f"{path} could not be loaded as a torch.export program: {type(error).__name__}: {first_line(error)}",
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
    example = {**dict(zip(argument_names(program), args, strict=False)), **kwargs} if kwargs else args
    return ModelSource(program, example, name, dynamic_shapes=_dynamic_shapes(program))


def argument_names(program: torch.export.ExportedProgram) -> list[str]:
    """Of the forward that was exported, in its order."""
    signature = program.module_call_graph[0].signature
    names = signature.forward_arg_names if signature is not None else None
    return [str(name) for name in names or program.graph_signature.user_inputs]


def split_arguments(
    program: torch.export.ExportedProgram, named: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A program takes by position what it was exported with by position, and by keyword the rest."""
    spec = program.call_spec.in_spec
    count = spec.children()[0].num_children if spec is not None else len(named)
    places = [name for name in argument_names(program)[:count] if name in named]
    return tuple(named[name] for name in places), {key: value for key, value in named.items() if key not in places}


def check_program(program: torch.export.ExportedProgram, inputs: tuple[TensorSpec, ...]) -> None:
    """Raises UsageError where the inputs have sizes that were fixed differently when the program was exported."""
    shapes = [shape for _, shape in _placeholders(program)]
    for spec, shape in zip(inputs, shapes, strict=False):
        for axis, size in enumerate(shape):
            fixed = isinstance(size, int)
            if fixed and (axis in spec.dynamic or spec.shape[axis : axis + 1] != (size,)):
                raise UsageError(
                    f"input {spec.name!r} of the program has the fixed size {size} in axis {axis}, and another is "
                    "asked for",
                    "leave the shape as it is, or export the program again with "
                    "torch.export.export(…, dynamic_shapes=…)",
                )


def _load(path: Path) -> torch.export.ExportedProgram:
    import torch

    with _data_alone():
        try:
            return torch.export.load(path)
        except UnpicklingError as error:
            if "torchao" not in str(error):
                raise
        # Its tensors become known as safe when the library that made them is imported.
        importlib.import_module("torchao.quantization")
        return torch.export.load(path)


@contextmanager
def _data_alone() -> Iterator[None]:
    """Pickled parts of an archive are read as data or not at all, and torch's tracebacks stay out of the terminal."""
    forced, logger = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", logging.getLogger("torch.export")
    kept, level = os.environ.get(forced), logger.level
    os.environ[forced] = "1"
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of its own archive format's evolution
            yield
    finally:
        logger.setLevel(level)
        os.environ.pop(forced)
        if kept is not None:
            os.environ[forced] = kept


def _dynamic_shapes(program: torch.export.ExportedProgram) -> dict[str, dict[int, DynamicDim]]:
    found: dict[str, dict[int, DynamicDim]] = {}
    for name, shape in _placeholders(program):
        axes = {axis: _dim(size, program) for axis, size in enumerate(shape) if not isinstance(size, int)}
        if axes:
            found[name] = axes
    return found


def _placeholders(program: torch.export.ExportedProgram) -> list[tuple[str, tuple[Any, ...]]]:
    """Name and shape of every tensor that the program takes."""
    nodes = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    taken: list[tuple[str, Any]] = [(str(name), nodes.get(str(name))) for name in program.graph_signature.user_inputs]
    return [(name, tuple(value.shape)) for name, value in taken if hasattr(value, "shape")]


def _dim(size: Any, program: torch.export.ExportedProgram) -> DynamicDim:
    bounds = program.range_constraints.get(size.node.expr)
    low, high = (bounds.lower, bounds.upper) if bounds is not None else (1, _UNBOUNDED)
    return DynamicDim(str(size), max(1, _bound(low, 1)), _bound(high, _UNBOUNDED))


def _bound(value: Any, otherwise: int) -> int:
    try:
        return min(int(value), _UNBOUNDED)
    except (OverflowError, TypeError, ValueError, AttributeError):  # what sympy's infinities raise
        return otherwise
