"""Whether a ``mixed`` file is faster than the fp32 one: both run in turns on this machine."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from ashore import registry
from ashore.errors import AshoreError
from ashore.interfaces import Session
from ashore.pipeline.edges import run_real
from ashore.types.artifact import Artifact
from ashore.types.tensor import Sample

_TURN_NS = 20_000_000
"""Long enough that a turn holds many runs of a small model."""
_ALL_NS = 3_000_000_000
_MOST_RUNS = 100
_TURNS = (3, 15)
_NO_GAIN = 0.97
"""A share of fp32's time from which on a gain is too small to be told from noise."""
_ADVICE = (
    "loosen the budget so that more stays in int8, or take fp32 or fp16; "
    "what holds on your device is told by ashore profile"
)


def pace_warnings(mixed: Artifact, make_float: Callable[[], Artifact], sample: Sample) -> tuple[str, ...]:
    """What is to be told where ``mixed`` gains no speed over fp32, or where that cannot be known.

    A file that was proven is not lost because its rival cannot be made or run.
    """
    try:
        times = _times_ms(mixed, make_float(), sample)
    except AshoreError as error:
        return (f"whether it is faster than fp32 is unknown, as fp32 could not be timed: {error.message}",)
    mixed_ms, float_ms = (statistics.median(side) for side in zip(*times, strict=True))
    # Of neighbours, not of sums: a machine that slows down meanwhile slows both sides of a turn.
    ratio = statistics.median(mine / other for mine, other in times)
    return () if ratio < _NO_GAIN else (_told(ratio, mixed_ms, float_ms),)


def _told(ratio: float, mixed_ms: float, float_ms: float) -> str:
    gain = f"gains {max(0.0, 1 - ratio):.0%} over fp32, which may be noise,"
    what = f"is {ratio - 1:.0%} slower than fp32" if ratio >= 1.005 else gain
    return f"{what} on this machine at one thread, {mixed_ms:.3g} ms against {float_ms:.3g} ms: {_ADVICE}"


def _times_ms(mixed: Artifact, rival: Artifact, sample: Sample) -> list[tuple[float, float]]:
    """Milliseconds of a run of each, turn by turn."""
    host = registry.get_target("host")
    with host.open(mixed) as first, host.open(rival) as second:
        for session in (first, second):
            run_real(session, sample)
        runs, turns = _plan(first.repeat(2) + second.repeat(2))
        return [_turn(first, second, runs, swapped=bool(turn % 2)) for turn in range(turns)]


def _plan(warm_ns: list[int]) -> tuple[int, int]:
    """Runs in a turn, and turns: many of small models, few of large ones."""
    run_ns = max(1, max(warm_ns))
    runs = min(_MOST_RUNS, max(1, _TURN_NS // run_ns))
    fewest, most = _TURNS
    return runs, min(most, max(fewest, _ALL_NS // (2 * runs * run_ns)))


def _turn(first: Session, second: Session, runs: int, *, swapped: bool) -> tuple[float, float]:
    """Who begins changes from turn to turn, as a processor that slows down favours the first."""
    order = (second, first) if swapped else (first, second)
    times = {id(session): statistics.median(session.repeat(runs)) / 1e6 for session in order}
    return times[id(first)], times[id(second)]
