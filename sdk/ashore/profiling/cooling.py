"""Phones are measured cool, or the profile says that they were not."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ashore.interfaces import Progress
from ashore.profiling.machine import ReadText, temperature_celsius

_STEP_S = 5.0


@dataclass
class Cooling:
    """Waits before a measurement until the device is cool: ``budget_s`` seconds in all, for all measurements there.

    ``read`` is None where there is nothing to wait for, or no way to tell.
    """

    read: ReadText | None
    limit_celsius: float
    budget_s: float = 300.0

    def wait(self, progress: Progress) -> None:
        while self.budget_s > 0 and (celsius := self._too_hot()) is not None:
            progress(f"waiting: {celsius:.0f} °C, {self.limit_celsius:.0f} °C is cool enough")
            time.sleep(_STEP_S)
            self.budget_s -= _STEP_S

    @property
    def gave_up(self) -> bool:
        """Whether the time to wait ran out."""
        return self.budget_s <= 0

    def _too_hot(self) -> float | None:
        celsius = temperature_celsius(self.read) if self.read else None
        return celsius if celsius is not None and celsius > self.limit_celsius else None
