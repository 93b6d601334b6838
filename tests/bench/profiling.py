"""How far profiles can be trusted here. Measured, not asserted: a busy machine fails what a quiet one passes.

    python tests/bench/profiling.py FILE...

Prints how far the medians of five profiles lie apart (5 % is asked for), whether passes for operators and memory change
the latency, and how long a fast profile of all the files takes (a minute for four is asked for).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import ashore
from ashore.profiling.noise import disturbances
from ashore.profiling.statistics import latency_of, ratio_of
from ashore.types.profile import Profile, Result

PROFILES = 5


def main(files: Sequence[str]) -> None:
    began = time.perf_counter()
    profiles = [ashore.profile(files)]
    print(f"one fast profile of {len(files)} files: {time.perf_counter() - began:.1f} s")
    profiles += [ashore.profile(files) for _ in range(PROFILES - 1)]
    with_ops = ashore.profile(files, ops=True)
    for index, result in enumerate(profiles[0].results):
        show_repeatability(result.title, [profile.results[index] for profile in profiles])
        show_overhead(result.title, profiles, index, with_ops.results[index])


def show_repeatability(title: str, results: Sequence[Result]) -> None:
    medians = [latency.median_ns for result in results if (latency := latency_of(result))]
    apart = (max(medians) - min(medians)) / min(medians)
    kinds = sorted({kind for result in results for kind in disturbances(result.warnings)})
    told = f"warned of: {', '.join(kinds)}" if kinds else "no warning"
    print(f"{title}: {len(medians)} medians within {apart:.1%} ({min(medians) / 1e6:.3f} ms at least); {told}")


def show_overhead(title: str, profiles: Sequence[Profile], index: int, with_ops: Result) -> None:
    """The latency pass of a profile that has an operator pass too, against those that have none."""
    plain = [group for profile in profiles for group in profile.results[index].samples_by_repeat]
    ratio = ratio_of(plain, with_ops.samples_by_repeat)
    print(f"{title}: latency beside --ops {ratio.value:.3f}x ({ratio.interval.low:.3f} to {ratio.interval.high:.3f})")


if __name__ == "__main__":
    main(sys.argv[1:])
