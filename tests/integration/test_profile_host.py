"""Profiles of real files on this host: ratios so large that no noise hides them, and nothing timed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import ashore
from ashore import Profile
from ashore.profiling.statistics import latency_of
from ashore.types.profile import InputsOrigin, Result
from conversions import noisy_source

BACKENDS = {"executorch": ".pte", "litert": ".tflite"}
MB = 1_000_000


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profile-files")
    script = Path(__file__).with_name("profile_files.py")
    made = subprocess.run([sys.executable, "-W", "ignore", script, folder], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def measured(files: Path) -> Profile:
    """All files, with operators."""
    return ashore.profile(sorted(path for path in files.iterdir() if path.suffix in BACKENDS.values()), ops=True)


@pytest.fixture(params=sorted(BACKENDS))
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def found(profile: Profile, name: str, backend: str) -> Result:
    return next(each for each in profile.results if (each.artifact.name, each.artifact.backend) == (name, backend))


def test_four_times_the_layers_take_more_than_twice_the_time(measured: Profile, backend: str) -> None:
    short, long = (latency_of(found(measured, name, backend)) for name in ("short", "long"))
    assert short and long
    assert long.min_ns > 2 * short.min_ns


def test_64_mb_in_between_show_in_the_peak(measured: Profile, backend: str) -> None:
    narrow, wide = (found(measured, name, backend).memory for name in ("narrow", "wide"))
    assert narrow and wide
    assert 60 * MB < wide.peak_bytes - narrow.peak_bytes < 160 * MB
    assert wide.baseline_bytes <= wide.loaded_bytes <= wide.peak_bytes


def test_operators_explain_the_run(measured: Profile, backend: str) -> None:
    result = found(measured, "long", backend)
    if result.ops is None:
        pytest.skip(result.skipped["ops"])
    assert result.ops_pass
    assert 0.9 < sum(op.ns for op in result.ops) / sum(result.ops_pass.run_ns) < 1.1
    layers = [op for op in result.ops if op.calls == result.ops_pass.runs]
    assert len(layers) >= 16, "each layer ran once a run, the warm-ups do not count"


def test_undelegated_operators_are_found_where_the_file_has_them(measured: Profile) -> None:
    wide = found(measured, "wide", "executorch")
    if wide.ops is None:
        pytest.skip(wide.skipped["ops"])
    explanation = next(each for each in ashore.explain(measured) if each.result is wide)
    assert explanation.best and explanation.best.kind == "undelegated operators"
    assert "sum.IntList_out" in explanation.best.evidence and "mm.out" in explanation.best.evidence


def test_load_first_run_and_steady_runs_are_told_apart(measured: Profile, backend: str) -> None:
    result = found(measured, "long", backend)
    assert len(result.repeats) == 3 and len(result.latency_ns or ()) == 60
    assert result.load_ns and result.first_run_ns
    assert all(repeat.load_ns and repeat.first_run_ns for repeat in result.repeats)


def test_bare_files_and_their_target_are_described(measured: Profile, files: Path, backend: str) -> None:
    result = found(measured, "short", backend)
    path = files / f"short{BACKENDS[backend]}"
    assert result.artifact.bytes == path.stat().st_size
    assert 0 < (result.artifact.compressed_bytes or 0) <= path.stat().st_size
    assert result.artifact.delegation and result.artifact.delegation.share == 1.0
    assert result.settings.inputs is InputsOrigin.RANDOM
    assert "measured on pseudo-random inputs, since the file has no golden ones" in result.warnings
    assert result.target.cpu and result.target.runtime_version not in ("", "unknown")
    assert result.environment.load and result.environment.load.cores >= 1


def test_the_machines_pace_is_measured_around_the_runs(measured: Profile, backend: str) -> None:
    result = found(measured, "long", backend)
    if result.target.runner != "native":
        pytest.skip(result.skipped["environment.pace"])
    pace = result.environment.pace
    assert pace and min(pace.rounds_ns) > 0 and pace.best_ns > 0
    assert len(pace.rounds_ns) == 3 * 5 * 4, "three processes; before, between and after four parts"


def test_a_profile_survives_the_file_and_equals_itself(measured: Profile, tmp_path: Path) -> None:
    ashore.save_profile(measured, tmp_path / "profile.json")
    assert ashore.load_profile(tmp_path / "profile.json") == measured
    assert not ashore.compare(tmp_path / "profile.json", measured).exceeded


def test_the_longer_model_in_place_of_the_shorter_is_too_slow(measured: Profile, backend: str) -> None:
    """The longer one's figures under the shorter one's name, as if the model had grown."""
    short, long = (found(measured, name, backend) for name in ("short", "long"))
    grown = replace(long, artifact=replace(long.artifact, name="short"))
    comparison = ashore.compare(replace(measured, results=(short,)), replace(measured, results=(grown,)))
    assert comparison.exceeded
    assert not ashore.compare(replace(measured, results=(grown,)), replace(measured, results=(short,))).exceeded


def test_threads_are_measured_one_by_one(files: Path, backend: str) -> None:
    path = files / f"short{BACKENDS[backend]}"
    one, two = ashore.profile(path, threads=(1, 2)).results
    assert (one.settings.threads, two.settings.threads) == (1, 2)
    assert one.latency_ns and two.latency_ns


def test_a_sustained_run_lasts_as_long_as_asked(files: Path) -> None:
    (result,) = ashore.profile(files / "short.pte", sustained_minutes=0.05).results
    assert result.sustained
    last = result.sustained.points[-1]
    assert last.start_s + last.seconds >= 3.0
    assert sum(point.runs for point in result.sustained.points) > 60


class _Block(torch.nn.Module):
    """Every kind of layer with weights, with something without weights in between."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 3, 2, 1)
        self.wide = torch.nn.Sequential(
            torch.nn.Conv2d(8, 8, 3, 1, 1, groups=8), torch.nn.BatchNorm2d(8), torch.nn.ReLU()
        )
        self.narrow = torch.nn.Conv2d(8, 8, 1)
        self.rise = torch.nn.ConvTranspose2d(8, 4, 2, 2)
        self.head = torch.nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.stem(x))
        return self.head(self.rise(y + self.narrow(self.wide(y))).mean((2, 3)))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_operators_bear_the_paths_of_their_modules(backend: str, precision: str, tmp_path: Path) -> None:
    source = noisy_source(_Block(), (1, 3, 32, 32))
    (artifact,) = ashore.convert(source, to=[backend], precisions=[precision], output=tmp_path)
    (result,) = ashore.profile(artifact, ops=True).results
    assert result.ops is not None
    told = [op.module for op in result.ops if op.module]
    assert told == ["stem", "wide.0", "narrow", "rise", "head"]
    assert any(op.module is None for op in result.ops), "what has no weights keeps its own name"
