"""A user's model behind one plain calling convention: tensors in by position or name, a tuple of tensors out."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree

from ashore.errors import UnsupportedModel, UsageError

Named = tuple[str, Any]


class FlatModel(torch.nn.Module):
    """Calls ``model`` the way its example inputs do, whatever nesting they have.

    Takes the example's tensors in order of ``input_names``, by position or by name; everything in the example
    that is not a tensor is kept as a constant. Returns the tensors found in the model's result, in order.
    """

    def __init__(self, model: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        super().__init__()
        self.model = model
        leaves, self._structure = pytree.tree_flatten((args, dict(kwargs)))
        self._constants = [None if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        self._positions = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
        self.input_names = _input_names(model, args, kwargs)
        self.example = tuple(leaves[i] for i in self._positions)
        self.changed: frozenset[str] = frozenset()
        """Inputs that the model changes in place: it gets copies, as a backend would make outputs of them."""

    def forward(self, *tensors: torch.Tensor, **named: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given = (*tensors, *(named[name] for name in self.input_names[len(tensors) :]))
        return tuple(value for _, value in named_tensors(self.call(given)))

    def call(self, tensors: tuple[torch.Tensor, ...]) -> Any:
        """The user's model on ``tensors``, its result untouched."""
        leaves = list(self._constants)
        for name, position, tensor in zip(self.input_names, self._positions, tensors, strict=True):
            leaves[position] = tensor.clone() if name in self.changed else tensor
        args, kwargs = pytree.tree_unflatten(leaves, self._structure)
        return self.model(*args, **kwargs)


def named_tensors(result: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors inside a model's result with the names their places give them: ``logits``, ``boxes_0``, ``output``.

    Raises:
        UnsupportedModel: the result holds something that is neither a tensor nor a container of tensors.
    """
    if isinstance(result, torch.Tensor):
        yield name or "output", result
    elif result is not None:
        for key, value in _children(result, name):
            yield from named_tensors(value, _joined(name or ("output" if key.isdigit() else ""), key))


def _children(result: Any, name: str) -> list[Named]:
    if isinstance(result, Mapping):
        return [(str(key), value) for key, value in result.items()]
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return [(field.name, getattr(result, field.name)) for field in dataclasses.fields(result)]
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return list(zip(result._fields, result, strict=True))
    if isinstance(result, tuple | list):
        return [(str(index), value) for index, value in enumerate(result)]
    raise UnsupportedModel(
        f"the model returns a {type(result).__name__}{f' at {name!r}' if name else ''}, which holds no plain tensors",
        "return tensors, or tuples, dicts or dataclasses of tensors; for transformers pass use_cache=False",
    )


def _input_names(model: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[str, ...]:
    parameters = _positional_parameters(model)
    named: list[Named] = []
    for index, value in enumerate(args):
        named.append((parameters[index] if index < len(parameters) else f"input_{index}", value))
    names = [leaf for name, value in (*named, *kwargs.items()) for leaf in _leaf_names(name, value)]
    if not names:
        raise UsageError("the example inputs hold no tensor", "give at least one tensor the model's forward takes")
    return tuple(names)


def _positional_parameters(model: torch.nn.Module) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [name for name, parameter in inspect.signature(model.forward).parameters.items() if parameter.kind in kinds]


def _leaf_names(name: str, value: Any) -> Iterator[str]:
    for path, leaf in pytree.tree_flatten_with_path(value)[0]:
        if isinstance(leaf, torch.Tensor):
            yield _joined(
                name, *(re.sub(r"\W", "", str(getattr(key, "key", getattr(key, "idx", key)))) for key in path)
            )


def _joined(*parts: str) -> str:
    return re.sub(r"\W", "_", "_".join(part for part in parts if part))
