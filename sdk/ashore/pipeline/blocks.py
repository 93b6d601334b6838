"""Module paths: which parts of a model to try in float, and everything but one of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

MOST_BLOCKS = 32


def blocks_of(paths: Sequence[str], most: int = MOST_BLOCKS) -> list[str]:
    """The finest division of ``paths`` into at most ``most`` modules of one depth, in their order.

    A block and not a layer, since a float layer between int8 ones still has its input and output rounded. Each is
    named by the outermost module that holds no other layers, so that additions in it belong to it as well.
    """
    deepest = max((path.count(".") + 1 for path in paths), default=1)
    divisions = ([_prefix(path, depth) for path in paths] for depth in range(deepest, 0, -1))
    division = next((names for names in divisions if len(set(names)) <= most), [_prefix(path, 1) for path in paths])
    return list(dict.fromkeys(_outermost(block, paths) for block in division))


def _outermost(block: str, paths: Sequence[str]) -> str:
    held = {path for path in paths if inside(path, block)}
    return next(prefix for prefix in _prefixes(block) if {path for path in paths if inside(path, prefix)} == held)


def inside(path: str, module: str) -> bool:
    return path == module or path.startswith(f"{module}.")


def all_but(module: str, paths: Collection[str]) -> tuple[str, ...]:
    """The largest modules that hold every one of ``paths`` outside of ``module``, and nothing of it."""
    outside = (path for path in paths if not inside(path, module))
    return tuple(dict.fromkeys(_largest_apart(path, module) for path in outside))


def _largest_apart(path: str, module: str) -> str:
    return next(prefix for prefix in _prefixes(path) if not inside(module, prefix))


def _prefixes(path: str) -> Iterator[str]:
    return (_prefix(path, depth) for depth in range(1, path.count(".") + 2))


def _prefix(path: str, depth: int) -> str:
    return ".".join(path.split(".")[:depth])
