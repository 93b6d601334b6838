"""Layer rules of a recipe against the layers that a model has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ashore.errors import UsageError
from ashore.types.recipe import Recipe

if TYPE_CHECKING:
    import torch

_SHOWN = 8


def check_layer_rules(recipe: Recipe, model: torch.nn.Module) -> None:
    """Raises UsageError where a rule names no layer of the user's ``model``: most likely it is misspelt."""
    paths = [path for path, _ in model.named_modules()]
    for rule in recipe.layers:
        if not any(rule.matches(path) for path in paths):
            shown = [path for path in paths if path]
            raise UsageError(
                f"layer rule {rule.pattern!r} matches no layer of the model",
                "a pattern matches a whole module path; the model has "
                + (", ".join(shown[:_SHOWN]) + (", …" if len(shown) > _SHOWN else "") or "a single layer, ''"),
            )
