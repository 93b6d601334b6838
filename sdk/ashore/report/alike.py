"""Sentences that differ in their numbers alone, said once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?!\w)")


def skeleton(text: str) -> str:
    """The same for sentences that :func:`merged` may merge."""
    return _NUMBER.sub("#", text)


def merged(texts: Iterable[str]) -> str:
    """One sentence for several of the same skeleton; where their numbers differ, it says from where to where."""
    known = list(texts)
    numbers = zip(*(_NUMBER.findall(text) for text in known), strict=True)
    ranges = iter([_range(column) for column in numbers])
    return _NUMBER.sub(lambda _: next(ranges), known[0])


def grouped(texts: Iterable[str]) -> list[list[str]]:
    """Sentences by skeleton, in the order in which they first come up."""
    groups: dict[str, list[str]] = {}
    for text in texts:
        groups.setdefault(skeleton(text), []).append(text)
    return list(groups.values())


def _range(numbers: Sequence[str]) -> str:
    low, high = min(numbers, key=float), max(numbers, key=float)
    return low if float(low) == float(high) else f"{low} to {high}"
