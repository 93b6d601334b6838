"""What a recipe's layer rules say of code inside of modules: a rule for a module holds for all that is in it."""

from __future__ import annotations

from ashore.types.precision import Precision
from ashore.types.recipe import Recipe


def precision_at(recipe: Recipe, module_paths: list[str]) -> Precision:
    """What the recipe asks for code inside of all these modules: its first rule that names one of them."""
    for rule in recipe.layers:
        if any(rule.matches(path) for path in module_paths):
            return rule.precision
    return recipe.precision


def enclosing(path: str) -> list[str]:
    """``a.b.c`` -> ``a``, ``a.b``, ``a.b.c``."""
    parts = path.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]
