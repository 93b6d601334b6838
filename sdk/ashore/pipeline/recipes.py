"""Recipes as TOML files."""

from __future__ import annotations

import json
import tomllib
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ashore.errors import UsageError
from ashore.types.recipe import LayerRule, Recipe

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_LISTS = {"layers": "[[layers]], in two brackets, above each rule", "repairs": 'repairs = ["smoothquant"]'}


def load_recipe(path: Path | str) -> Recipe:
    """Raises UsageError where the file is missing, is no TOML, or says something no recipe knows."""
    from pydantic import ValidationError

    try:
        values = tomllib.loads(Path(path).read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"recipe {path} could not be read: {error}", "give a TOML file, as ashore.dump_recipe writes"
        ) from error
    _check_keys(values, Recipe, str(path))
    for name, written in _LISTS.items():
        if not isinstance(values.get(name, []), list):
            raise UsageError(f"recipe {path}: {name} is no list", f"write {written}")
    for rule in values.get("layers", []):
        _check_keys(rule, LayerRule, f"{path}, layers")
    try:
        return _adapter().validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"recipe {path}: {place}: {first['msg']}", "see docs/formats.md for the fields") from error


def dump_recipe(recipe: Recipe) -> str:
    """The TOML that ``load_recipe`` reads back as the same recipe."""
    import tomli_w

    return tomli_w.dumps(_adapter().dump_python(recipe, mode="json"))


def _check_keys(values: Any, kind: type[Recipe] | type[LayerRule], where: str) -> None:
    known = [field.name for field in fields(kind)]
    unknown = sorted(set(values) - set(known)) if isinstance(values, dict) else [repr(values)]
    if unknown:
        raise UsageError(f"recipe {where} holds {', '.join(unknown)}, which it cannot", f"known: {', '.join(known)}")


@cache
def _adapter() -> TypeAdapter[Recipe]:
    from pydantic import TypeAdapter

    return TypeAdapter(Recipe)
