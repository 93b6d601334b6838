"""What a user's ``evaluate`` found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One metric of PyTorch's model and of the finished file."""

    eager: float
    file: float

    @property
    def drop(self) -> float:
        """How much of it the file lost."""
        return self.eager - self.file
