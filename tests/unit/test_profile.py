"""``ashore.profile`` on fake models whose costs are known: what is measured is what they cost, pass by pass."""

from __future__ import annotations

import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ashore
from ashore import ArtifactError, ModelSource, TargetUnavailable, UsageError
from ashore.errors import EngineCrashed
from ashore.profiling.statistics import latency_of
from ashore.profiling.sustained import ends_of
from ashore.types.profile import CurvePoint, InputsOrigin, InstructionCounts, Mode, Sustained
from ashore.types.target import TargetKind
from ashore.types.tensor import Sample
from fake_costs import MB, MS, Costs, FakeOp
from fakes import FakeSession, FakeTarget

Costing = Any


@pytest.fixture
def known(costs: Costing, model: Path) -> Costs:
    found = costs(model.name)
    found.opened.clear()  # the conversion has judged the file
    return found


def test_fast_mode_times_three_fresh_processes(model: Path, known: Costs) -> None:
    (result,) = ashore.profile(model).results
    assert (result.settings.mode, result.settings.warmup, result.settings.runs, result.settings.repeats) == (
        (Mode.FAST, 3, 20, 3)
    )
    assert [repeat.runs for repeat in result.repeats] == [20, 20, 20]
    assert len(result.latency_ns or ()) == 60
    assert known.opened[:3] == [(1, False)] * 3
    assert set(result.latency_ns or ()) == {10_000_000, 10_100_000, 9_900_000}
    assert (result.load_ns, result.first_run_ns) == (5 * MS, 20 * MS)
    assert {(repeat.load_ns, repeat.first_run_ns) for repeat in result.repeats} == {(5 * MS, 20 * MS)}


def test_thorough_mode_takes_enough_runs_and_enough_time(model: Path, known: Costs) -> None:
    known.run_ns = 50 * MS
    (result,) = ashore.profile(model, mode="thorough").results
    samples = result.latency_ns or ()
    assert result.settings.mode is Mode.THOROUGH
    assert len(samples) >= 1024
    assert sum(samples) >= 60e9
    assert len(result.repeats) == 3


def test_thorough_mode_takes_enough_runs_of_a_slow_model(model: Path, known: Costs) -> None:
    known.run_ns = 1000 * MS
    (result,) = ashore.profile(model, mode="thorough").results
    assert len(result.latency_ns or ()) == 3 * 342


def test_of_a_tiny_models_runs_a_part_is_kept_and_told(model: Path, known: Costs) -> None:
    known.run_ns, known.first_ns = 100_000, 100_000
    (result,) = ashore.profile(model, mode="thorough").results
    samples = result.latency_ns or ()
    assert 30_000 < len(samples) <= 60_000
    assert sum(repeat.runs for repeat in result.repeats) == len(samples)
    assert any("of 600" in warning and "runs is kept, evenly spread" in warning for warning in result.warnings)


@pytest.mark.parametrize("factor", [1.1, 2.0, 7.0])
def test_a_model_made_slower_by_a_factor_is_measured_slower_by_it(model: Path, known: Costs, factor: float) -> None:
    (before,) = ashore.profile(model).results
    known.run_ns = round(factor * known.run_ns)
    (after,) = ashore.profile(model).results
    first, second = latency_of(before), latency_of(after)
    assert first and second
    assert second.median_ns / first.median_ns == pytest.approx(factor, rel=0.001)


def test_memory_has_a_pass_of_its_own(model: Path, known: Costs) -> None:
    (result,) = ashore.profile(model).results
    memory = result.memory
    assert memory
    assert (memory.baseline_bytes, memory.loaded_bytes, memory.peak_bytes) == (10 * MB, 14 * MB, 20 * MB)
    assert memory.planned_bytes == 2 * MB
    assert len(known.opened) == 4, "three for latency, one for memory"
    assert "imagined" in memory.methods["peak_bytes"] and "high-water" in memory.methods["peak_bytes"]
    assert set(memory.methods) == {"baseline_bytes", "loaded_bytes", "peak_bytes", "planned_bytes"}


def test_an_allocation_of_64_mb_shows_in_the_peak(model: Path, known: Costs) -> None:
    before = ashore.profile(model).results[0].memory
    known.peak_bytes += 64 * MB
    after = ashore.profile(model).results[0].memory
    assert before and after
    assert after.peak_bytes - before.peak_bytes == 64 * MB


def test_what_is_swapped_out_counts_into_the_peak(model: Path, known: Costs) -> None:
    known.swap_bytes = 30 * MB
    memory = ashore.profile(model).results[0].memory
    assert memory and memory.peak_bytes == known.loaded_bytes + 30 * MB
    assert memory.swap_bytes == 30 * MB


def test_operators_explain_the_run_and_do_not_touch_the_latency(model: Path, known: Costs) -> None:
    (plain,) = ashore.profile(model).results
    known.opened.clear()
    (result,) = ashore.profile(model, ops=True).results
    assert result.latency_ns == plain.latency_ns, "though runs whose operators are timed are half slower"
    assert result.ops and result.ops_pass
    assert result.ops_pass.runs == 20
    assert sum(op.ns for op in result.ops) / sum(result.ops_pass.run_ns) == pytest.approx(0.95, abs=0.001)
    assert [(op.name, op.delegated, op.calls) for op in result.ops] == [("conv #1", True, 20), ("add #1", True, 20)]
    assert known.opened == [(1, False)] * 4 + [(1, True)]


def test_the_first_run_does_not_count_into_operators(model: Path, known: Costs) -> None:
    known.first_ns = 10_000 * MS
    (result,) = ashore.profile(model, ops=True).results
    assert result.ops and result.ops_pass
    assert sum(op.ns for op in result.ops) < sum(result.ops_pass.run_ns)


def test_operators_of_one_name_stay_apart(model: Path, known: Costs) -> None:
    known.ops = (FakeOp("mm", "mm", 0.5), FakeOp("mm", "mm", 0.25), FakeOp("mm", "mm", 0.125, delegated=False))
    (result,) = ashore.profile(model, ops=True).results
    assert result.ops and result.ops_pass
    shares = [op.ns / sum(result.ops_pass.run_ns) for op in result.ops]
    assert shares == pytest.approx([0.5, 0.25, 0.125], abs=0.001)


def test_operators_not_asked_for_are_not_timed(model: Path, known: Costs) -> None:
    (result,) = ashore.profile(model).results
    assert result.ops is None and result.ops_pass is None
    assert result.skipped["ops"] == "not asked for; --ops times them"
    assert (1, True) not in known.opened


@pytest.mark.parametrize(
    ("metric", "reason"),
    [("ops", "this runner does not time operators"), ("memory", "this system does not tell its memory")],
)
def test_what_the_runner_cannot_tell_is_absent_with_the_reason(
    model: Path, known: Costs, metric: str, reason: str
) -> None:
    known.refuses = (metric,)
    (result,) = ashore.profile(model, ops=True).results
    assert getattr(result, metric) is None
    assert result.skipped[metric] == reason
    assert result.latency_ns


def test_a_crash_is_no_reason_but_an_error(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_session: FakeSession) -> None:
        raise EngineCrashed("the engine's process was killed by SIGSEGV", "look at the file")

    monkeypatch.setattr(FakeSession, "memory", crash)
    with pytest.raises(EngineCrashed, match="killed by SIGSEGV"):
        ashore.profile(model)


def test_an_engine_that_plans_nothing_leaves_the_plan_out(model: Path, known: Costs) -> None:
    known.planned_bytes = None
    (result,) = ashore.profile(model).results
    assert result.memory and result.memory.planned_bytes is None
    assert result.skipped["memory.planned_bytes"] == "the engine does not tell what it plans"


def test_each_number_of_threads_is_measured_by_itself(model: Path, known: Costs) -> None:
    one, two = ashore.profile(model, threads=[1, 2, 1]).results
    assert (one.settings.threads, two.settings.threads) == (1, 2)
    first, second = latency_of(one), latency_of(two)
    assert first and second and first.median_ns / second.median_ns == pytest.approx(2, rel=0.01)
    assert {threads for threads, _ in known.opened} == {1, 2}


def test_processes_of_all_artifacts_take_turns(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ModelSource(torch.nn.Identity(), (torch.ones(1, 4),), "other")
    other = ashore.convert(source, to=["fake"], output=tmp_path / "out")[0].file
    opened: list[str] = []
    original = FakeTarget.open

    def noted(target: FakeTarget, artifact: Any, **options: Any) -> FakeSession:
        opened.append(artifact.manifest.name)
        return original(target, artifact, **options)

    monkeypatch.setattr(FakeTarget, "open", noted)
    profile = ashore.profile([model, other, model])
    assert opened[:6] == ["net", "other"] * 3
    assert [result.title for result in profile.results] == ["net.fake.fp32", "other.fake.fp32"]


def test_every_stage_is_told(model: Path) -> None:
    stages: list[str] = []
    ashore.profile(model, ops=True, progress=stages.append)
    assert stages == [
        "net.fake.fp32.fake: reading",
        *(f"net.fake.fp32 on host, 1 thread: latency, process {turn} of 3" for turn in (1, 2, 3)),
        "net.fake.fp32 on host, 1 thread: memory",
        "net.fake.fp32 on host, 1 thread: instructions",
        "net.fake.fp32 on host, 1 thread: operators",
    ]


def test_artifact_and_target_are_described(model: Path) -> None:
    (result,) = ashore.profile(model).results
    artifact, content = result.artifact, model.read_bytes()
    assert (artifact.name, artifact.backend, artifact.precision) == ("net", "fake", "fp32")
    assert artifact.bytes == len(content)
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    assert artifact.compressed_bytes == len(packer.compress(content) + packer.flush())
    assert artifact.parity and artifact.parity.sqnr_db == 200.0
    assert artifact.delegation and artifact.delegation.undelegated[0].op == "aten.mm"
    assert artifact.graph and artifact.graph.ops == {"aten.mm": 1}
    assert (result.target.cpu, result.target.kind, result.target.runtime_version) == ("imagined", TargetKind.HOST, "1")
    assert result.target.runner == "native"
    assert result.settings.inputs is InputsOrigin.GOLDEN
    assert ashore.profile(model).versions["ashore"] == ashore.__version__


def test_a_bare_file_is_measured_on_the_same_random_inputs_every_time(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.with_suffix(".json").unlink()
    given: list[Sample] = []
    original = FakeSession.run

    def noted(session: FakeSession, inputs: Sample) -> Sample:
        given.append(inputs)
        return original(session, inputs)

    monkeypatch.setattr(FakeSession, "run", noted)
    (result,) = ashore.profile(model).results
    assert result.settings.inputs is InputsOrigin.RANDOM
    assert "measured on pseudo-random inputs, since the file has no golden ones" in result.warnings
    assert (result.title, result.artifact.precision, result.artifact.parity) == ("net.fake.fp32.fake", None, None)
    assert result.skipped["parity"] == "the file has no manifest, so its accuracy is unknown"
    assert given[0]["input"].shape == (1, 4) and np.ptp(given[0]["input"]) > 0
    for sample in given:
        np.testing.assert_array_equal(sample["input"], given[0]["input"])


def test_a_sustained_run_keeps_the_curve(model: Path, known: Costs) -> None:
    known.run_ns, known.drift = 500 * MS, 0.002
    (result,) = ashore.profile(model, sustained_minutes=3).results
    assert result.sustained
    points = result.sustained.points
    assert points[0].start_s == pytest.approx(0, abs=0.1)
    assert all(point.seconds < 6 for point in points)
    assert sum(point.seconds for point in points) == pytest.approx(180, rel=0.05)
    assert points[-1].median_ns > 1.5 * points[0].median_ns
    for before, after in pairwise(points):
        assert after.start_s == pytest.approx(before.start_s + before.seconds)
    ends = ends_of(result.sustained)
    assert ends.words == ("minute 1", "last minute")
    assert ends.first_ns == pytest.approx(np.median([point.median_ns for point in points[:20]]), rel=0.05)
    assert ends.last_ns == pytest.approx(np.median([point.median_ns for point in points[-20:]]), rel=0.05)
    assert ends.ratio == pytest.approx(ends.last_ns / ends.first_ns)


@pytest.mark.parametrize(
    ("seconds", "words"), [(59.0, ("first half", "second half")), (90.0, ("minute 1", "last minute"))]
)
def test_a_sustained_run_of_less_than_two_minutes_is_told_by_halves(seconds: float, words: tuple[str, str]) -> None:
    ends = ends_of(Sustained(1.0, (CurvePoint(0.0, seconds, 9, 100, 110), CurvePoint(seconds, seconds, 9, 150, 160))))
    assert (ends.first_ns, ends.last_ns, ends.ratio, ends.words) == (100.0, 150.0, 1.5, words)


def test_no_sustained_run_unless_asked_for(model: Path) -> None:
    (result,) = ashore.profile(model).results
    assert result.sustained is None
    assert result.skipped["sustained"] == "not asked for; --sustained MIN measures it"


class CountingTarget(FakeTarget):
    """An emulator that counts instructions."""

    def count_instructions(self, artifact: Any, inputs: Sample, *, runs: int = 3) -> InstructionCounts:
        assert artifact.backend == "fake" and inputs["input"].shape == (1, 4)
        return InstructionCounts(1000, {"loads": 400, "rest": 600}, (1000,) * runs, "imagined")


def test_an_emulator_gives_instructions_and_no_time(model: Path, known: Costs, places: dict) -> None:
    places["emulator:a76"] = CountingTarget("emulator:a76", TargetKind.EMULATOR)
    (result,) = ashore.profile(model, targets=["emulator:a76"], ops=True, sustained_minutes=1).results
    assert result.latency_ns is None and result.load_ns is None and result.first_run_ns is None
    assert result.instructions == InstructionCounts(1000, {"loads": 400, "rest": 600}, (1000,) * 3, "imagined")
    assert result.memory
    assert result.memory.method == "imagined of the emulator's process, its own memory included"
    for metric in ("latency_ns", "load_ns", "first_run_ns", "ops", "sustained"):
        assert "the emulator's own time" in result.skipped[metric]
    assert known.opened == [(1, False)], "the memory pass"


@pytest.mark.parametrize(
    ("kind", "threads", "reason"),
    [
        (FakeTarget, 1, "this target counts no instructions; emulated ones can"),
        (CountingTarget, 2, "instructions are counted at one thread: with more, waiting would be counted too"),
    ],
)
def test_instructions_that_cannot_be_counted_are_absent(
    model: Path, places: dict, kind: type[FakeTarget], threads: int, reason: str
) -> None:
    places["emulator:a76"] = kind("emulator:a76", TargetKind.EMULATOR)
    (result,) = ashore.profile(model, targets=["emulator:a76"], threads=[threads]).results
    assert result.instructions is None
    assert result.skipped["instructions"] == reason


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        ({"threads": [0]}, UsageError, "0 threads were asked for"),
        ({"threads": []}, UsageError, "nothing to profile"),
        ({"targets": []}, UsageError, "nothing to profile"),
        ({"mode": "slow"}, UsageError, "there is no mode 'slow'"),
        ({"sustained_minutes": 0}, UsageError, "a sustained run of 0 minutes was asked for"),
        ({"sustained_minutes": float("nan")}, UsageError, "a sustained run of nan minutes was asked for"),
        ({"targets": ["phone"]}, TargetUnavailable, "there is no target 'phone'"),
        ({"targets": ["adb:off"]}, TargetUnavailable, "target adb:off is not ready: it is unplugged"),
        (
            {"targets": ["adb:sham"]},
            TargetUnavailable,
            "target adb:sham runs no fake files, such as net.fake.fp32.fake",
        ),
    ],
)
def test_a_wrong_call_is_refused_before_anything_is_measured(
    model: Path, known: Costs, places: dict, call: dict, kind: type[Exception], message: str
) -> None:
    places["off"] = FakeTarget("adb:off", TargetKind.DEVICE, problem="it is unplugged")
    places["sham"] = FakeTarget("adb:sham", TargetKind.DEVICE, backends=("sham",))
    with pytest.raises(kind, match=message):
        ashore.profile(model, **call)
    assert known.opened == []


def test_an_altered_file_is_not_measured(model: Path, known: Costs) -> None:
    model.write_bytes(model.read_bytes() + b"!")
    with pytest.raises(ArtifactError, match="is not the file its manifest vouches for"):
        ashore.profile(model)
    assert known.opened == []


def test_no_artifact_is_a_wrong_call() -> None:
    with pytest.raises(UsageError, match="nothing to profile: no artifact"):
        ashore.profile([])
