"""What an engine offers to the child process that it runs in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from ashore_runtimes.wire.facts import TensorFacts


class Engine(Protocol):
    """A library that runs models. ``Engine(threads)`` imports it; any exception is reported to the parent."""

    version: str
    inputs: list[TensorFacts]
    outputs: list[TensorFacts]

    def load(self, file: str) -> None:
        """Once, before all else; ``inputs`` and ``outputs`` are known afterwards."""
        ...

    def bind(self, inputs: Sequence[NDArray[Any]]) -> None:
        """Take the inputs of all coming runs from these arrays, whose values change under the engine's hands."""
        ...

    def feed(self) -> None:
        """Move the bound arrays' values into the engine; before each ``invoke``."""
        ...

    def invoke(self) -> int:
        """One inference; the nanoseconds of the engine's own call."""
        ...

    def results(self) -> list[NDArray[Any]]:
        """Views of the latest outputs; the caller lets go of them before the next ``invoke``."""
        ...
