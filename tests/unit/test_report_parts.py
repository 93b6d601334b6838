"""The pieces that reports are built from."""

from __future__ import annotations

from itertools import pairwise

import pytest

import sample_profiles
from ashore.report import figures
from ashore.report.alike import grouped, merged
from ashore.report.columns import P50, SIZE, best_of
from ashore.report.entries import Source, by_conditions, collect
from ashore.report.frame import apart
from ashore.report.markup import Markup, element, join
from ashore.report.scale import Scale
from ashore.report.tradeoff import Point, front
from ashore.types.profile import Profile, Result


def entries_of(*results: Result):
    return collect([Source("p.json", Profile(results, "now"))])


@pytest.mark.parametrize("text", ["<b>", '"quoted"', "it's", "&amp;", "</script><script>alert(1)</script>"])
def test_text_stays_text(text: str) -> None:
    from html.parser import HTMLParser

    seen: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.extend([tag, *(value or "" for _, value in attrs)])

        def handle_data(self, data: str) -> None:
            seen.append(data)

    Reader().feed(element("p", text, title=text))
    assert seen[:2] == ["p", text]
    assert "".join(seen[2:]) == text


def test_markup_is_not_escaped_twice_and_control_characters_are_replaced() -> None:
    assert element("p", element("b", "x")) == "<p><b>x</b></p>"
    assert join("a\x00\x1b\x1f\u202e\ud800", None, Markup("<br/>")) == "a\ufffd\ufffd\ufffd\ufffd\ufffd<br/>"
    assert join("Größe\u00a0中 5\u202fms\n") == "Größe\u00a0中 5\u202fms\n"
    assert element("i", class_="x", hidden=True, open=False, title=None) == '<i class="x" hidden></i>'


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0.00"),
        (1, "0.0000"),
        (12_345, "0.0123"),
        (123_456, "0.123"),
        (13_304_000, "13.30"),
        (2_345_678_901, "2 346"),
    ],
)
def test_milliseconds_keep_what_can_be_told_apart(ns: float, text: str) -> None:
    assert figures.milliseconds(ns).replace("\N{NARROW NO-BREAK SPACE}", " ") == text


def test_a_share_is_never_rounded_to_all_or_nothing() -> None:
    assert [figures.percent(share) for share in (0, 0.0001, 0.5, 0.9999, 1)] == ["0.0", "<0.1", "50.0", "99.9", "100.0"]


def test_counts_and_changes_are_short() -> None:
    assert [figures.count(value) for value in (0, 999, 312_400_000, 2.5e9)] == ["0", "999", "312.4M", "2.50G"]
    assert figures.change(1.27) == "+27\N{NO-BREAK SPACE}%"
    assert figures.change(0.955) == "\u22124.5\N{NO-BREAK SPACE}%"


@pytest.mark.parametrize(("low", "high"), [(0, 1), (11.4e6, 14.7e6), (0, 0), (5, 5), (1e-9, 3e12)])
def test_axes_hold_their_values_and_have_few_round_marks(low: float, high: float) -> None:
    scale = Scale.around(low, high)
    assert scale.low <= low and high <= scale.high and scale.low < scale.high
    assert 1 <= len(scale.ticks()) <= 6
    assert all(scale.low <= tick <= scale.high for tick in scale.ticks())
    assert 0 <= scale.fraction(low) <= scale.fraction(high) <= 1


def test_labels_move_apart_and_stay_inside() -> None:
    moved = apart([50, 52, 51, 10, 99], 18, 100)
    assert moved[3] == 10
    assert max(moved) <= 100
    ordered = sorted(moved)
    assert all(after - before >= 18 for before, after in pairwise(ordered))


def test_sentences_that_differ_in_numbers_are_said_once() -> None:
    noisy = ["noisy: 15% of 3 runs", "noisy: 9% of 3 runs", "hot: 91 C"]
    assert [merged(group) for group in grouped(noisy)] == ["noisy: 9 to 15% of 3 runs", "hot: 91 C"]
    assert [merged(group) for group in grouped(["fp32 in mobilenet_v2", "fp16 in mobilenet_v2"])] == [
        "fp32 in mobilenet_v2",
        "fp16 in mobilenet_v2",
    ]


def test_medians_with_overlapping_intervals_are_equally_good() -> None:
    files = sample_profiles.FILES
    same = entries_of(
        sample_profiles.on_host(files[0], 10.0, seed=1),
        sample_profiles.on_host(files[1], 10.0, seed=2),
        sample_profiles.on_host(files[2], 12.0, seed=3),
    )
    assert [entry.subject.number for entry in best_of(P50, same)] == [1, 2]
    assert [entry.subject.number for entry in best_of(SIZE, same)] == [3]
    assert best_of(P50, same[:2]) == [], "nobody is best where all are equal"


def test_results_under_other_conditions_stand_apart() -> None:
    entries = collect([Source("p.json", sample_profiles.demo_profile())])
    titles = [conditions.title for conditions in by_conditions(entries)]
    assert titles == ["host · 1 thread", "host · 2 threads", "emulator:cortex-a76 · 1 thread"]
    assert [entry.place for entry in entries] == list(range(12))
    assert {entry.subject.label for entry in entries} == {
        "executorch.fp32", "litert.fp32", "executorch.int8", "litert.int8",
    }  # fmt: skip


def test_two_machines_of_the_same_name_and_two_modes_are_told_apart() -> None:
    from dataclasses import replace

    one = sample_profiles.on_host(sample_profiles.FILES[0], 10.0)
    other = replace(one, target=replace(one.target, cpu="Ryzen"))
    thorough = sample_profiles.on_host(sample_profiles.FILES[0], 10.0, runs=342)
    titles = {entry.conditions.title for entry in entries_of(one, other, thorough)}
    assert titles == {
        "host · Xeon at 2.50GHz, x86_64, Linux 6.1 · 1 thread · fast mode",
        "host · Ryzen, x86_64, Linux 6.1 · 1 thread · fast mode",
        "host · Xeon at 2.50GHz, x86_64, Linux 6.1 · 1 thread · thorough mode",
    }


def test_files_of_the_same_title_are_told_apart_by_their_hash() -> None:
    from dataclasses import replace

    one = sample_profiles.on_host(sample_profiles.FILES[0], 10.0)
    other = replace(one, artifact=replace(one.artifact, sha256="ff" * 32))
    titles = [entry.subject.title for entry in entries_of(one, other)]
    assert len(set(titles)) == 2
    assert titles[1] == "mobilenet_v2.executorch.fp32 (ffffffff)"


def test_the_front_holds_what_no_other_beats() -> None:
    files = sample_profiles.FILES
    results = [
        sample_profiles.on_host(files[index], median, seed=index) for index, median in enumerate((10, 20, 10, 20))
    ]
    points = [
        Point(entry, entry.latency.median_ns, sqnr, size)
        for entry, sqnr, size in zip(entries_of(*results), (50, 40, 20, 20), (10, 10, 4, 12), strict=True)
    ]
    assert front(points) == [points[0], points[2]]


def test_time_beats_only_where_the_intervals_are_apart() -> None:
    files = sample_profiles.FILES
    near = entries_of(
        sample_profiles.on_host(files[0], 10.0, seed=1),
        sample_profiles.on_host(files[1], 10.01, seed=2),
        sample_profiles.on_host(files[2], 15.0, seed=3),
    )
    points = [Point(entry, entry.latency.median_ns, 30.0, 10) for entry in near]
    assert front(points) == points[:2]
