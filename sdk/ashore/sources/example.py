"""A source's example inputs: as tensors, checked against the model before it runs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ashore.errors import UsageError
from ashore.sources.exported import argument_names, split_arguments
from ashore.sources.readiness import half_format
from ashore.types.source import ModelSource
from ashore.types.tensor import DynamicDim

if TYPE_CHECKING:
    import torch

Call = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments."""


def name_examples(source: ModelSource) -> dict[str, Any]:
    """The example inputs by the names of the model's parameters, so that some can be replaced by name."""
    if isinstance(source.example_inputs, Mapping):
        return dict(source.example_inputs)
    return dict(zip(_parameters(source.model), source.example_inputs, strict=False))


def example_call(source: ModelSource, model: torch.nn.Module) -> Call:
    """The example inputs as tensors in the places where ``model`` takes them.

    Raises:
        UsageError: they are not what ``forward`` takes, or hold NaN.
    """
    from torch.utils import _pytree as pytree

    given = source.example_inputs
    if not isinstance(given, Mapping | tuple | list):
        given = (given,)
    call = _by_keyword(source, given) if isinstance(given, Mapping) else (tuple(given), {})
    _check_names(model, *call)
    tensors: Call = pytree.tree_map(_to_tensor, call)
    return pytree.tree_map(_widened, tensors) if half_format(source.model) else tensors


def _by_keyword(source: ModelSource, given: Mapping[str, Any]) -> Call:
    import torch

    if isinstance(source.model, torch.export.ExportedProgram):
        return split_arguments(source.model, given)
    return (), dict(given)


def check_descriptions(source: ModelSource, example: Mapping[str, torch.Tensor]) -> None:
    """Raises UsageError where ``dynamic_shapes`` or ``layouts`` speak of inputs or axes that are not there."""
    for field in ("dynamic_shapes", "layouts"):
        unknown = sorted(set(getattr(source, field)) - set(example))
        if unknown:
            raise UsageError(
                f"{field} names {', '.join(unknown)}; the model takes {', '.join(example)}",
                "use the names of the forward's parameters",
            )
    for name, axes in source.dynamic_shapes.items():
        for axis, dim in axes.items():
            _check_dim(name, axis, dim, tuple(example[name].shape))


def _check_dim(name: str, axis: int, dim: DynamicDim, shape: tuple[int, ...]) -> None:
    if not isinstance(dim, DynamicDim):
        raise UsageError(
            f"dynamic_shapes gives a {type(dim).__name__} for axis {axis} of {name!r}",
            "give ashore.DynamicDim(name, minimum, maximum)",
        )
    if axis not in range(len(shape)):
        raise UsageError(
            f"dynamic_shapes names axis {axis} of {name!r}, whose shape is {list(shape)}", "axes count from 0"
        )
    if not 1 <= dim.minimum <= shape[axis] <= dim.maximum:
        raise UsageError(
            f"the example has size {shape[axis]} in axis {axis} of {name!r}, outside of {dim.minimum}..{dim.maximum}",
            "widen the range, or give an example inside it",
        )


def _check_names(model: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        inspect.signature(model.forward).bind(*args, **kwargs)
    except TypeError as error:
        raise UsageError(
            f"the example inputs do not fit the model: {error}", f"its forward takes {_signature(model)}"
        ) from error


def _signature(model: torch.nn.Module) -> str:
    return ", ".join(str(parameter) for parameter in inspect.signature(model.forward).parameters.values()) or "nothing"


def _parameters(model: Any) -> list[str]:
    import torch

    if isinstance(model, torch.export.ExportedProgram):
        return argument_names(model)
    return list(inspect.signature(model.forward).parameters)


def _to_tensor(value: Any) -> Any:
    import torch

    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.array(value))
    if not isinstance(value, torch.Tensor):
        return value
    if value.is_floating_point() and not value.isfinite().all():
        raise UsageError(
            f"an example input of shape {list(value.shape)} holds NaN or infinite values",
            "give values like those the model will meet; torch.empty leaves memory as it was, torch.randn does not",
        )
    return value.detach().cpu()


def _widened(value: Any) -> Any:
    import torch

    half = isinstance(value, torch.Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if half else value
