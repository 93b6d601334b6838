"""Profiles that met the same machine at another pace: what a comparison and a report say of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import ashore
from ashore.profiling.profiles import save_profile
from ashore.profiling.summaries import rows_of, verdict_of
from ashore.types.profile import Result
from commands import Command
from handmade import at_pace, profile, result, target

NOTE = "the machine itself ran {} for the new profile: profile both again in one sitting"


@pytest.mark.parametrize(
    ("base", "new", "notes"),
    [
        (at_pace(150), at_pace(213), (NOTE.format("42% slower"),)),
        (at_pace(213), at_pace(150), (NOTE.format("30% faster"),)),
        (at_pace(150), at_pace(154), ()),
        (at_pace(150), at_pace(213, work="another"), ()),
        (at_pace(150), result(), ()),
    ],
)
def test_a_comparison_tells_of_paces_that_differ(base: Result, new: Result, notes: tuple[str, ...]) -> None:
    assert ashore.compare(profile(base), profile(new)).pairs[0].notes == notes


@pytest.mark.parametrize(
    ("base", "new", "verdict"),
    [
        (at_pace(150), at_pace(150, 14.0), "EXCEEDED"),
        (at_pace(150), at_pace(213, 14.0), "undecided: the machine's own pace differed"),
        (at_pace(150), at_pace(213, 25.0), "EXCEEDED"),
        (at_pace(150), at_pace(213, 10.0), "ok"),
        (at_pace(213), at_pace(150, 10.0), "undecided: the machine's own pace differed"),
        (at_pace(213), at_pace(150, 7.0), "ok"),
        (at_pace(150), at_pace(153, 11.1), "EXCEEDED"),
    ],
)
def test_a_verdict_that_hangs_on_the_machines_pace_is_undecided(base: Result, new: Result, verdict: str) -> None:
    comparison = ashore.compare(profile(base), profile(new))
    assert rows_of(comparison)[0][-1] == verdict
    assert comparison.exceeded is (verdict == "EXCEEDED")


def test_what_is_undecided_is_said_first_and_does_not_fail(command: Command, tmp_path: Path) -> None:
    pair = [tmp_path / "base.json", tmp_path / "new.json"]
    for file, measured in zip(pair, (at_pace(150), at_pace(213, 14.0)), strict=True):
        save_profile(profile(measured), file)
    outcome = command("compare", *pair, "--junit", tmp_path / "junit.xml")
    assert outcome.code == 0
    assert outcome.out.endswith(
        "undecided, as the machine's own pace differed: net.fake.fp32 on host, 1 thread: latency 1.40x\n"
    )
    assert "<skipped message=\"undecided: the machine's own pace differed: latency 10.000 ms" in (
        (tmp_path / "junit.xml").read_text()
    )


def test_what_is_beyond_and_what_is_undecided_are_both_told() -> None:
    slow = replace(at_pace(213, 14.0), memory=replace(result().memory, peak_bytes=90_000_000))  # type: ignore[type-var]
    assert verdict_of(ashore.compare(profile(at_pace(150)), profile(slow))) == (
        "beyond the threshold: net.fake.fp32 on host, 1 thread: peak memory 4.50x. undecided, as the machine's own "
        "pace differed: net.fake.fp32 on host, 1 thread: latency 1.40x"
    )


@pytest.fixture
def reported(command: Command, tmp_path: Path) -> Callable[..., str]:
    def call(ending: str, **results: Result) -> str:
        files = [tmp_path / f"{name}.json" for name in results]
        for file, measured in zip(files, results.values(), strict=True):
            save_profile(profile(measured), file)
        assert command("report", *files, "-o", tmp_path / f"r.{ending}").code == 0
        return (tmp_path / f"r.{ending}").read_text()

    return call


SLOWER = "slow: late.json was measured while the machine ran 42% slower than for early.json; profile both anew"


@pytest.mark.parametrize("ending", ["md", "csv", "html"])
def test_a_report_names_the_profile_that_met_a_slower_machine(reported: Callable[..., str], ending: str) -> None:
    late = at_pace(213, best_us=213)
    assert reported(ending, early=at_pace(150), late=late).count(SLOWER.replace("_", r"\_")) == 1
    others = (at_pace(154), at_pace(213, work="another"), replace(late, target=target(cpu="another")), result())
    for other in others:
        assert "slow:" not in reported(ending, early=at_pace(150), late=other)


def test_the_page_shows_the_pace_of_the_machine(reported: Callable[..., str]) -> None:
    assert "+42% of time against its best, 213 µs" in reported("html", one=at_pace(213))
