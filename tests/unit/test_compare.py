"""``ashore.compare``: what may be compared, by how much it differs, and when that is too much."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

import ashore
from ashore import Profile, Thresholds, UsageError
from ashore.profiling.comparison import Comparison, Difference, Metric
from ashore.profiling.profiles import save_profile
from ashore.profiling.summaries import junit_of, markdown_of, notes_of, rows_of, verdict_of
from ashore.types.profile import Mode, Result
from ashore.types.target import TargetKind
from handmade import EMULATOR, MB, PHONE, around, artifact, counted, profile, result, target

FP32 = result(10.0, artifact=artifact("fp32", bytes=16 * MB, sqnr_db=120.0), peak_bytes=40 * MB)
INT8 = result(4.0, artifact=artifact("int8", bytes=4 * MB, sqnr_db=22.0), peak_bytes=20 * MB)


def difference(comparison: Comparison, metric: Metric, index: int = 0) -> Difference:
    return next(each for each in comparison.pairs[index].differences if each.metric is metric)


def compared(base: Result, new: Result, **thresholds: float) -> Comparison:
    return ashore.compare(profile(base), profile(new), thresholds=Thresholds(**thresholds))


def test_a_profile_with_itself_is_well() -> None:
    both = profile(FP32, INT8, result(6.0, threads=2), result(None, target=EMULATOR, instructions=counted(7)))
    comparison = ashore.compare(both, both)
    assert not comparison.exceeded
    assert len(comparison.pairs) == 4
    assert {each.change for pair in comparison.pairs for each in pair.differences} == {0.0, 1.0}
    assert verdict_of(comparison) == "within the thresholds"


def test_profiles_are_read_from_files(tmp_path: Path) -> None:
    save_profile(profile(FP32), tmp_path / "base.json")
    assert not ashore.compare(tmp_path / "base.json", str(tmp_path / "base.json")).exceeded


def test_fp32_where_int8_was_is_too_slow_and_too_large() -> None:
    comparison = compared(INT8, FP32)
    latency, memory = (difference(comparison, metric) for metric in (Metric.LATENCY, Metric.MEMORY))
    assert comparison.exceeded and latency.exceeded and memory.exceeded
    assert latency.change == pytest.approx(2.5, rel=0.01)
    assert latency.interval and latency.interval.low < 2.5 < latency.interval.high
    assert memory.change == 2.0
    assert difference(comparison, Metric.SIZE).change == 4.0
    assert comparison.pairs[0].title == "net.fake.int8 → net.fake.fp32 on host, 1 thread"
    assert comparison.pairs[0].notes == ("the precision differs: int8 in the base, fp32 in the new profile",)
    assert verdict_of(comparison) == (
        "beyond the threshold: net.fake.int8 → net.fake.fp32 on host, 1 thread: latency 2.50x; "
        "net.fake.int8 → net.fake.fp32 on host, 1 thread: peak memory 2.00x"
    )


def test_int8_where_fp32_was_is_well_though_less_exact() -> None:
    comparison = compared(FP32, INT8)
    sqnr = difference(comparison, Metric.SQNR)
    assert (sqnr.change, sqnr.limit, sqnr.exceeded) == (-98.0, None, False)
    assert not comparison.exceeded


def test_a_loss_of_sqnr_between_files_of_one_precision_is_too_much() -> None:
    worse = replace(INT8, artifact=artifact("int8", sqnr_db=18.5))
    assert difference(compared(INT8, worse), Metric.SQNR).exceeded
    assert not difference(compared(worse, INT8), Metric.SQNR).exceeded
    assert not difference(compared(INT8, worse, sqnr_db=4.0), Metric.SQNR).exceeded
    assert difference(compared(FP32, INT8, sqnr_db=4.0), Metric.SQNR).exceeded


@pytest.mark.parametrize(("percent", "exceeded"), [(30.0, False), (20.0, True), (0.0, True), (float("inf"), False)])
def test_the_threshold_decides(percent: float, exceeded: bool) -> None:
    comparison = compared(result(10.0), result(12.5), slower_percent=percent)
    assert difference(comparison, Metric.LATENCY).exceeded is exceeded
    assert comparison.exceeded is exceeded


@pytest.mark.parametrize(("percent", "exceeded"), [(60.0, False), (40.0, True), (float("inf"), False)])
def test_memory_has_a_threshold_of_its_own(percent: float, exceeded: bool) -> None:
    comparison = compared(result(peak_bytes=20 * MB), result(peak_bytes=30 * MB), memory_percent=percent)
    assert difference(comparison, Metric.MEMORY).exceeded is exceeded


def test_what_lies_within_the_noise_is_not_too_slow() -> None:
    noisy = [around(7), around(11.5), around(16)]
    comparison = compared(result([around(6), around(10), around(14)]), result(noisy))
    latency = difference(comparison, Metric.LATENCY)
    assert latency.change == pytest.approx(1.15, rel=0.01)
    assert latency.interval and latency.interval.low < 1
    assert not comparison.exceeded
    assert rows_of(comparison)[0][-1] == "ok: beyond the limit, but within the noise"


@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_a_threshold_that_makes_no_sense_is_refused(value: float) -> None:
    for name in ("slower_percent", "memory_percent", "sqnr_db"):
        with pytest.raises(UsageError, match=f"a threshold is {value:g}"):
            Thresholds(**{name: value})


REFUSED = [
    (result(), result(target=PHONE), "different kinds of target, host in the base and device in the new profile"),
    (
        result(target=PHONE),
        result(target=target(TargetKind.DEVICE, "adb:2")),
        "different targets, adb:1 in the base and adb:2",
    ),
    (result(), result(threads=2), "different numbers of threads, 1 in the base and 2 in the new profile"),
    (result(), result(mode=Mode.THOROUGH), "different modes, fast in the base and thorough in the new profile"),
    (INT8, replace(FP32, target=PHONE), "different kinds of target, host in the base and device in the new profile"),
    (
        result(),
        result(target=target(cpu="another")),
        "it was measured on 'imagined' in the base and on 'another' in the new profile",
    ),
    (
        result(),
        result(artifact=artifact(name="other")),
        "no artifact in common: the base holds net.fake.fp32, the new one other.fake.fp32",
    ),
    (
        result([around(10)], target=EMULATOR, skipped={"instructions": "the plug-in is missing"}),
        result([around(10)], target=EMULATOR, instructions=counted(5)),
        "net.fake.fp32 on emulator:a76, 1 thread, fast mode has no instruction counts (the plug-in is missing), and "
        "the time of an emulator is not compared",
    ),
]


@pytest.mark.parametrize(("base", "new", "message"), REFUSED)
def test_what_must_not_be_compared_is_refused(base: Result, new: Result, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        compared(base, new)
    assert message in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("base", "new"), [((), (FP32,)), ((FP32,), ()), ((), ())])
def test_an_empty_profile_has_nothing_to_compare(base: tuple[Result, ...], new: tuple[Result, ...]) -> None:
    with pytest.raises(UsageError, match="no artifact in common: the base holds"):
        ashore.compare(profile(*base), profile(*new))


def test_precisions_are_not_crossed_where_a_profile_has_several_artifacts() -> None:
    with pytest.raises(UsageError) as caught:
        ashore.compare(profile(INT8, result(artifact=artifact("fp16"))), profile(FP32))
    assert "from profiles of one artifact each" in caught.value.hint


def test_one_artifact_on_several_targets_may_differ_in_backend() -> None:
    base = profile(FP32, replace(FP32, target=PHONE))
    new = profile(*(replace(each, artifact=artifact("fp32", "sham")) for each in base.results))
    comparison = ashore.compare(base, new)
    assert len(comparison.pairs) == 2
    assert comparison.pairs[1].notes == ("the backend differs: fake in the base, sham in the new profile",)


def test_emulated_results_are_compared_by_instructions_alone() -> None:
    base = result([around(10)], target=EMULATOR, instructions=counted(50_000_000))
    new = result([around(90)], target=EMULATOR, instructions=counted(57_000_000))
    comparison = compared(base, new)
    assert {each.metric for each in comparison.pairs[0].differences} == set(Metric) - {Metric.LATENCY}
    instructions = difference(comparison, Metric.INSTRUCTIONS)
    assert (instructions.change, instructions.exceeded) == (1.14, True)
    assert comparison.pairs[0].absent == ("latency: the time of an emulator is not compared",)


def test_new_and_missing_results_are_told() -> None:
    comparison = ashore.compare(profile(FP32, INT8), profile(FP32, result(threads=2)))
    assert comparison.missing == ("net.fake.int8 on host, 1 thread, fast mode",)
    assert comparison.added == ("net.fake.fp32 on host, 2 threads, fast mode",)
    notes = notes_of(comparison)
    assert "net.fake.int8 on host, 1 thread, fast mode: only in the base" in notes
    assert "net.fake.fp32 on host, 2 threads, fast mode: only in the new profile" in notes
    assert not comparison.exceeded


def test_a_metric_that_one_profile_lacks_is_told_with_the_reason() -> None:
    new = result(peak_bytes=None, artifact=artifact(sqnr_db=None), skipped={"memory": "the system hides it"})
    (pair,) = compared(result(), new).pairs
    assert pair.absent == (
        "peak memory: not in the new profile, the system hides it",
        "SQNR: one of the profiles does not have it",
    )


def test_what_differs_besides_is_noted() -> None:
    base = result(warnings=("noisy: single runs scatter by 9%", "shared: others"))
    new = result(target=replace(target(), runtime_version="2", runner="python"))
    (pair,) = compared(base, new).pairs
    assert pair.notes == (
        "the engine version differs: 1 in the base, 2 in the new profile",
        "the runner differs: native in the base, python in the new profile",
        "measured on a disturbed machine (base: noisy, shared)",
    )


@pytest.fixture
def mixed() -> Comparison:
    base = profile(INT8, result(artifact=artifact("fp16")))
    new = profile(replace(FP32, artifact=INT8.artifact), result(threads=2))
    return ashore.compare(base, new)


def test_markdown_says_the_verdict_first(mixed: Comparison) -> None:
    lines = markdown_of(mixed).splitlines()
    assert lines[0].startswith("**ashore compare: beyond the threshold: net.fake.int8 on host, 1 thread: latency 2.50x")
    assert lines[2] == "| what | metric | base | new | change | 95 % interval | limit | verdict |"
    (row,) = [line for line in lines if "| latency |" in line]
    assert "| 4.000 ms | 10.000 ms | 2.50x |" in row and row.endswith("| 1.10x | EXCEEDED |")
    assert "- net.fake.fp16 on host, 1 thread, fast mode: only in the base" in lines


def test_junit_has_a_case_a_threshold(mixed: Comparison) -> None:
    suite = ElementTree.fromstring(junit_of(mixed))
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "2", "1")
    failed = {case.get("name") for case in suite if case.find("failure") is not None}
    assert failed == {"latency", "peak memory"}
    failure = suite.find("testcase[@name='latency']/failure")
    assert failure is not None
    assert "latency 4.000 ms → 10.000 ms, 2.50x (limit 1.10x" in (failure.get("message") or "")
    assert suite.findall("testcase/skipped")[0].get("message") == "only in the base"


def test_names_with_marks_of_markdown_and_xml_stay_in_their_cells() -> None:
    odd: Profile = profile(result(artifact=artifact(name="a|b<c>&\"'")))
    comparison = ashore.compare(odd, odd)
    assert r"a\|b<c>" in markdown_of(comparison)
    suite = ElementTree.fromstring(junit_of(comparison))
    assert (suite[0].get("classname") or "").startswith("a|b<c>&\"'.fake.fp32")
