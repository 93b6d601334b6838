"""Plug-ins, found by entry point."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from ashore.errors import TargetUnavailable, UsageError
from ashore.interfaces import Converter, Runtime, Target

_CONVERTERS = "ashore.converters"
_RUNTIMES = "ashore.runtimes"


def backends() -> tuple[str, ...]:
    """Names of the known backends."""
    return tuple(sorted(_entries(_CONVERTERS)))


def get_converter(backend: str) -> Converter:
    """Raises UsageError for a backend nobody offers."""
    known = _entries(_CONVERTERS)
    if backend not in known:
        raise UsageError(f"there is no backend {backend!r}", f"known: {', '.join(sorted(known))}")
    converter: Converter = _load(known[backend])
    return converter


def backend_of_suffix(suffix: str) -> str | None:
    """The backend whose files end in ``suffix``."""
    return next((name for name in backends() if get_converter(name).suffix == suffix), None)


def suffixes() -> tuple[str, ...]:
    return tuple(get_converter(name).suffix for name in backends())


def runtime_kinds() -> tuple[str, ...]:
    """Kinds of targets: what a target's id begins with."""
    return tuple(sorted(_entries(_RUNTIMES)))


def all_targets() -> tuple[Target, ...]:
    """Every target of every runtime, ready or not."""
    return tuple(target for name in sorted(_entries(_RUNTIMES)) for target in _runtime(name).targets())


def get_target(target_id: str) -> Target:
    """Raises TargetUnavailable where no runtime knows ``target_id``."""
    kind = target_id.partition(":")[0]
    if kind not in _entries(_RUNTIMES):
        known = ", ".join(target.id for target in all_targets())
        raise TargetUnavailable(f"there is no target {target_id!r}", f"known here: {known}")
    return _runtime(kind).target(target_id)


def _runtime(kind: str) -> Runtime:
    runtime: Runtime = _load(_entries(_RUNTIMES)[kind])
    return runtime


def _load(entry: EntryPoint) -> Any:
    try:
        return entry.load()()
    except Exception as error:
        raise TargetUnavailable(
            f"the plug-in {entry.name!r} ({entry.value}) cannot be loaded: {type(error).__name__}: {error}",
            "repair or uninstall the package that brings it; ashore doctor shows what is installed",
        ) from error


@cache
def _entries(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}
