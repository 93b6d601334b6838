"""Axes: where a value lies, in percent of the width, and which values to mark."""

from __future__ import annotations

import math
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """A linear axis from ``low`` to ``high``; values beyond are drawn at its ends."""

    low: float
    high: float

    @classmethod
    def around(cls, low: float, high: float, *, from_zero: bool = False) -> Scale:
        """Holds both with some air; starts at 0 where asked, or where 0 is near enough to cost little room."""
        if from_zero or low < 0.5 * high:
            return cls(0.0, (high * 1.04) or 1.0)
        air = 0.08 * (high - low) or 0.05 * high or 1.0
        return cls(low - air, high + air)

    def fraction(self, value: float) -> float:
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def percent(self, value: float) -> str:
        """As SVG takes it, so that drawings are as wide as the page allows while dots and words keep their size."""
        return f"{100 * self.fraction(value):.2f}%"

    def ticks(self, most: int = 5) -> list[float]:
        """Round values on the axis, at most ``most``."""
        rough = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(step * power for step in _STEPS if step * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]
