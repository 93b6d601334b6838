"""``file.py:name`` and ``pkg.mod:name``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ashore.errors import AshoreError, UsageError
from ashore.types.source import ModelSource


def load_object(spec: str, examples: Mapping[str, Any] | None) -> ModelSource:
    """The ModelSource that a Python object names.

    Raises:
        UsageError: no such file, module or name; importing or calling it failed; or it is nothing convertible.
    """
    location, _, name = spec.rpartition(":")
    module = _import_file(Path(location)) if location.endswith(".py") else _import_module(location)
    value = _attribute(module, name, spec)
    if callable(value) and not _is_model(value):
        value = _call(value, spec)
    return _as_source(value, name, spec, examples)


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"there is no file {path}", "give the path of a Python file, then ':' and a name in it")
    name = _free_name(path.resolve())
    found = importlib.util.spec_from_file_location(name, path.resolve())
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    _search_first(path.resolve().parent)
    sys.modules[name] = module  # dataclasses look their module up by name
    try:
        found.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        raise _load_error(error, str(path)) from error
    return module


def _free_name(path: Path) -> str:
    """The file's own name, unless another module bears it: a user's ``types.py`` must not replace Python's."""
    taken = sys.modules.get(path.stem)
    free = taken is None or getattr(taken, "__file__", None) == str(path)
    return path.stem if free else f"ashore_source_{path.stem}"


def _search_first(folder: Path) -> None:
    """Neighbours import as they would had the user run the file, also later, from inside its functions."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _import_module(name: str) -> ModuleType:
    _search_first(Path.cwd())  # as python -m does
    try:
        return importlib.import_module(name)
    except BaseException as error:
        raise _load_error(error, name) from error


def _load_error(error: BaseException, what: str) -> BaseException:
    if isinstance(error, AshoreError | KeyboardInterrupt):
        return error
    hint = "run it with python by itself to see where; it must import in ashore's environment"
    if isinstance(error, ModuleNotFoundError):
        hint = f"install {error.name!r} in ashore's environment, or correct the name"
    return UsageError(f"importing {what} failed: {type(error).__name__}: {error}", hint)


def _attribute(module: ModuleType, name: str, spec: str) -> Any:
    if not hasattr(module, name):
        public = [key for key in vars(module) if not key.startswith("_")]
        raise UsageError(f"{spec!r}: there is no {name!r} there", f"it has {', '.join(public[:20]) or 'nothing'}")
    return getattr(module, name)


def _call(factory: Any, spec: str) -> Any:
    try:
        return factory()
    except (AshoreError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise UsageError(
            f"{spec!r} raised {type(error).__name__}: {error}", "call it by itself without arguments to see where"
        ) from error


def _is_model(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module | torch.export.ExportedProgram)


def _as_source(value: Any, name: str, spec: str, examples: Mapping[str, Any] | None) -> ModelSource:
    import torch

    if isinstance(value, ModelSource):
        return value
    if isinstance(value, torch.export.ExportedProgram):
        from ashore.sources.exported import from_program

        return from_program(value, name, examples)
    if isinstance(value, tuple) and len(value) == 2 and _is_model(value[0]):
        return ModelSource(value[0], value[1] if isinstance(value[1], tuple | Mapping) else (value[1],), name)
    if not _is_model(value):
        raise UsageError(
            f"{spec!r} is a {type(value).__name__}, nothing that converts",
            "give a ModelSource, a torch.nn.Module, (module, example_args), or a callable returning one",
        )
    if examples is None:
        raise UsageError(
            f"{spec!r} is a module without example inputs",
            "give --shape NAME=1x3x224x224 or --inputs F.npz, or return (module, example_args)",
        )
    return ModelSource(value, examples, name)
