"""How often things are measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """``rounds`` is for latencies, 20 by default; whatever takes longer is repeated less, in proportion."""

    rounds: int = 20

    @property
    def conversions(self) -> int:
        return max(1, self.rounds // 10)

    @property
    def starts(self) -> int:
        return max(3, self.rounds // 2)

    @property
    def profiles(self) -> int:
        """Of some the machine is quiet, and five of those are what MLPerf's rule of repeatability asks for."""
        return max(2, self.rounds)
