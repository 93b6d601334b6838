"""What can be said of a model and a recipe before any work is done."""

from __future__ import annotations

from ashore.types.conversion import ConversionRequest


def cautions(request: ConversionRequest) -> tuple[str, ...]:
    return ()
