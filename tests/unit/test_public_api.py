"""``import ashore``: every public name is there, is the same for type checkers, and costs nothing before its use."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import ashore
from ashore import errors


def names_for_type_checkers() -> set[str]:
    tree = ast.parse(Path(ashore.__file__).read_text())
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in guarded.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name for node in imports for alias in node.names}


def test_type_checkers_and_programs_see_the_same_names() -> None:
    assert names_for_type_checkers() == set(ashore.__all__)


def test_every_public_name_can_be_imported_and_is_documented() -> None:
    for name in ashore.__all__:
        value = getattr(ashore, name)
        assert value.__name__ == name
        assert value.__module__.startswith("ashore.")
        if not issubclass(value, errors.AshoreError) if inspect.isclass(value) else True:
            assert inspect.getdoc(value), f"{name} has no docstring"


def test_the_names_of_the_design_are_there() -> None:
    verbs = {"convert", "verify", "open_session", "inspect", "profile", "compare"}
    types = {"ModelSource", "Recipe", "Artifact", "Manifest", "Precision", "TensorSpec", "Preprocess"}
    assert verbs | types | set(errors.__all__) <= set(ashore.__all__)
    assert set(ashore.__all__) <= set(dir(ashore))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ashore' has no attribute 'covert'"):
        _ = ashore.covert


@pytest.mark.parametrize("code", ["import ashore", "from ashore import UsageError", "import ashore.cli"])
def test_importing_ashore_loads_no_heavy_library(code: str) -> None:
    check = f"{code}\nimport sys\nprint({{'torch', 'numpy', 'pydantic', 'rich', 'transformers'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
