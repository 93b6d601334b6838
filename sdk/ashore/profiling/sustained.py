"""Runs without a pause: a model's rank in minute 1 need not be its rank in minute 30."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ashore.profiling.passes import Case, timed
from ashore.types.profile import CurvePoint, Sustained

_LONGEST_STRETCH_S, _LEAST_STRETCHES = 5.0, 60
_MINUTE_S = 60.0


@dataclass
class _Clock:
    """The engine's time or, where answers take longer than runs, that of the wall."""

    spent_ns: int = 0
    _began_ns: int = field(default_factory=time.perf_counter_ns)

    def seconds(self) -> float:
        return max(self.spent_ns, time.perf_counter_ns() - self._began_ns) / 1e9


def measure_sustained(case: Case, minutes: float) -> Sustained:
    """One process that runs for ``minutes``, summed up in stretches of at most 5 seconds."""
    stretch_s = min(_LONGEST_STRETCH_S, minutes * _MINUTE_S / _LEAST_STRETCHES)
    points: list[CurvePoint] = []
    with case.open() as session:
        guess_ns = case.first_run(session)
        clock = _Clock()
        while (start_s := clock.seconds()) < minutes * _MINUTE_S:
            samples = timed(session, 1, round(stretch_s * 1e9), guess_ns)
            clock.spent_ns += sum(samples)
            points.append(_point(start_s, clock.seconds() - start_s, samples))
            guess_ns = points[-1].median_ns
    return Sustained(minutes, tuple(points))


def _point(start_s: float, seconds: float, samples: Sequence[int]) -> CurvePoint:
    median, p90 = np.percentile(samples, [50, 90])
    return CurvePoint(start_s, seconds, len(samples), round(median), round(p90))


@dataclass(frozen=True)
class Ends:
    """Medians of the first and of the last part of a sustained run; ``words`` say which parts those are."""

    first_ns: float
    last_ns: float
    words: tuple[str, str]

    @property
    def ratio(self) -> float:
        """Of the last to the first; 1.27 is 27 % slower."""
        return self.last_ns / (self.first_ns or 1)


def ends_of(sustained: Sustained) -> Ends:
    """The first minute and the last; both halves where there are not two minutes. ``sustained`` has points."""
    end_s = sustained.points[-1].start_s + sustained.points[-1].seconds
    part_s = min(_MINUTE_S, end_s / 2)
    first = [point for point in sustained.points if point.start_s < part_s]
    last = [point for point in sustained.points if point.start_s + point.seconds > end_s - part_s]
    words = ("minute 1", "last minute") if part_s == _MINUTE_S else ("first half", "second half")
    return Ends(_weighted_median(first), _weighted_median(last), words)


def _weighted_median(points: Sequence[CurvePoint]) -> float:
    return float(np.median(np.repeat([point.median_ns for point in points], [point.runs for point in points])))
