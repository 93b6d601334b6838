"""Times taken in turns, since machines are noisy: what is compared meets the same noise, and ratios are what counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RUNS_PER_ROUND = 10
_WARMUP_PER_TURN, _RUNS_PER_TURN, _TURNS_PER_ROUND = 3, 5, 2
"""Short turns: a neighbour slows this machine for seconds at a time, and must find both sides of a pair at work."""
_DRAWS, _SEED = 2000, 0

Contender = Callable[[int], Sequence[float]]
"""Runs so many times and gives the microseconds of each."""


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval, which is the figure itself where nothing was measured more than once."""

    value: float
    low: float
    high: float


def exactly(value: float) -> Estimate:
    return Estimate(value, value, value)


def estimate(values: Sequence[float]) -> Estimate:
    """The median of one value a round, and its bootstrap interval over rounds."""
    array = np.asarray(values, np.float64)
    draws = np.median(np.random.default_rng(_SEED).choice(array, (_DRAWS, array.size)), axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    return Estimate(float(np.median(array)), float(low), float(high))


@dataclass(frozen=True)
class Turns:
    """One figure for each contender and round."""

    figures: Mapping[str, Sequence[float]]

    def median(self, name: str) -> float:
        return float(np.median(self.figures[name]))

    def ratio(self, ours: str, theirs: str) -> Estimate:
        """Round by round, so that a slow minute of the machine weighs on both sides."""
        return estimate([a / b for a, b in zip(self.figures[ours], self.figures[theirs], strict=True)])

    def difference(self, ours: str, theirs: str) -> Estimate:
        return estimate([a - b for a, b in zip(self.figures[ours], self.figures[theirs], strict=True)])


def in_turns(contenders: Mapping[str, Callable[[], float]], rounds: int) -> Turns:
    """Each round asks every contender for one figure; every other round in the opposite order."""
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        order = list(contenders) if number % 2 == 0 else list(reversed(contenders))
        for name in order:
            figures[name].append(contenders[name]())
    return Turns(figures)


def medians_in_turns(contenders: Mapping[str, Contender], rounds: int) -> Turns:
    """Medians in microseconds, after runs of each contender that do not count: the caches were another's."""
    turns = {name: lambda run=run: _median(run) for name, run in contenders.items()}
    return in_turns(turns, rounds * _TURNS_PER_ROUND)


def _median(run: Contender) -> float:
    return float(np.median(run(_WARMUP_PER_TURN + _RUNS_PER_TURN)[_WARMUP_PER_TURN:]))


def called(run: Callable[[], object], before: Callable[[], object] = lambda: None) -> Contender:
    """As a caller feels it: the wall time of each call, not counting what is done ``before`` it."""

    def timed(runs: int) -> list[float]:
        taken = []
        for _ in range(runs):
            before()
            start = time.perf_counter_ns()
            run()
            taken.append((time.perf_counter_ns() - start) / 1000)
        return taken

    return timed
