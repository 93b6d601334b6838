"""From a source to files and back: what is published, what is recorded, and what an interruption leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

import ashore
import fakes as fake_plug_ins
from ashore import (
    AccuracyError,
    LayerRule,
    LoweringFailed,
    ModelSource,
    Precision,
    Preprocess,
    Recipe,
    UnsupportedModel,
    UsageError,
)
from commands import Command
from conversions import rounded_relu

FAKES = Path(fake_plug_ins.__file__)
NET = """
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = torch.nn.Linear(8, 16)
        self.head = torch.nn.Linear(16, 4)
    def forward(self, x):
        return self.head(self.body(x).relu())
model = (Net(), torch.ones(1, 8))
"""


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 2)

    def forward(self, x):
        return self.layer(x)


SAMPLES = [np.random.default_rng(index).standard_normal((1, 4)).astype(np.float32) for index in range(8)]


def source(**options: object) -> ModelSource:
    return ModelSource(Net(), (torch.ones(1, 4),), "tiny", **options)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_backend_and_precision_gives_three_files(fakes: dict, tmp_path: Path) -> None:
    del fakes
    artifacts = ashore.convert(
        source(calibration=SAMPLES), to=["fake", "sham"], precisions=["fp32", "int8"], output=tmp_path / "out"
    )
    stems = [f"tiny.{backend}.{precision}" for precision in ("fp32", "int8") for backend in ("fake", "sham")]
    assert [artifact.stem for artifact in artifacts] == stems
    expected = [f"{stem}{ending}" for stem in stems for ending in (".golden.npz", ".json")]
    expected += [f"{stem}.{stem.split('.')[1]}" for stem in stems]
    assert names(tmp_path / "out") == sorted(expected)


def test_a_word_given_twice_counts_once(fakes: dict, tmp_path: Path) -> None:
    del fakes
    assert len(ashore.convert(source(), to=["fake", "fake"], precisions=["fp32", "fp32"], output=tmp_path / "o")) == 1


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize("options", [{"to": []}, {"precisions": []}])
def test_nothing_to_convert_to_is_refused(tmp_path: Path, options: dict) -> None:
    with pytest.raises(UsageError, match="nothing to convert to"):
        ashore.convert(source(), output=tmp_path / "out", **({"to": ["fake"]} | options))


@pytest.mark.usefixtures("fakes")
def test_the_manifest_tells_what_the_source_said(tmp_path: Path) -> None:
    preprocess = Preprocess((224, 224), (0.5,), (0.25,), "BGR")
    given = source(calibration=SAMPLES, labels=["up", "down"], preprocess=preprocess, layouts={"x": "NC"})
    (artifact,) = ashore.convert(given, to=["fake"], precisions=["int8"], output=tmp_path)
    manifest = ashore.verify(artifact.file).artifact.manifest
    assert manifest == artifact.manifest
    assert (manifest.name, manifest.backend, manifest.precision) == ("tiny", "fake", Precision.INT8)
    assert manifest.labels == ("up", "down")
    assert manifest.preprocess == preprocess
    assert manifest.inputs[0].layout == "NC"
    assert manifest.calibration.samples == 6
    assert manifest.source.parameters == 10 and manifest.source.macs == 8
    assert manifest.parity.samples == 2 and manifest.parity.floor_db == 15.0
    assert manifest.parity.top1_agreement == 1.0
    assert manifest.golden.samples == 2
    assert manifest.versions["fake"] == "1" and manifest.versions["ashore"] == ashore.__version__
    assert manifest.warnings == ("fake is not real",)


@pytest.mark.usefixtures("fakes")
def test_random_calibration_and_random_judges_are_noted(tmp_path: Path) -> None:
    plain, int8 = ashore.convert(
        source(calibration="random"), to=["fake"], precisions=["fp32", "int8"], output=tmp_path
    )
    for artifact in (plain, int8):
        assert any("judged on random inputs" in warning for warning in artifact.manifest.warnings)
    assert any("calibrated on random inputs" in warning for warning in int8.manifest.warnings)
    assert not any("calibrated" in warning for warning in plain.manifest.warnings), "fp32 is not calibrated"


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize("calibration", [None, "random"])
def test_a_model_with_scales_of_its_own_needs_no_calibration(calibration: str | None, tmp_path: Path) -> None:
    rounded = ModelSource(rounded_relu(), (torch.ones(1, 4),), "rounded", calibration=calibration)
    (artifact,) = ashore.convert(rounded, to=["fake"], precisions=["int8"], output=tmp_path)
    assert artifact.manifest.calibration is None
    assert not any("calibrated" in warning for warning in artifact.manifest.warnings)


@pytest.mark.usefixtures("fakes")
def test_a_model_with_scales_of_its_own_is_not_searched(tmp_path: Path) -> None:
    rounded = ModelSource(rounded_relu(), (torch.ones(1, 4),), "rounded")
    with pytest.raises(UnsupportedModel, match="quantized already, so no layer of it can be tried") as caught:
        ashore.convert(rounded, to=["fake"], precisions=["mixed"], output=tmp_path)
    assert "--precision int8, which keeps its own quantization" in caught.value.hint


def test_another_floor_publishes_and_is_recorded(fakes: dict, tmp_path: Path) -> None:
    fakes["fake"].noise = 0.1
    with pytest.raises(AccuracyError, match="the floor is 60 dB"):
        ashore.convert(source(), to=["fake"], output=tmp_path)
    (artifact,) = ashore.convert(source(), to=["fake"], output=tmp_path, min_sqnr_db=5.0)
    assert artifact.manifest.parity.floor_db == 5.0
    assert 5.0 < artifact.manifest.parity.sqnr_db < 60.0
    assert any("floor of 5 dB" in warning and "60 dB" in warning for warning in artifact.manifest.warnings)
    assert ashore.verify(artifact).passed


def test_a_higher_floor_holds_too(fakes: dict, tmp_path: Path) -> None:
    fakes["fake"].noise = 1e-4
    with pytest.raises(AccuracyError, match="the floor is 150 dB"):
        ashore.convert(source(), to=["fake"], output=tmp_path, min_sqnr_db=150.0)


@pytest.mark.usefixtures("fakes")
def test_the_recipe_decides_where_no_precision_is_given(tmp_path: Path) -> None:
    recipe = Recipe(Precision.INT8_DYNAMIC, (LayerRule("layer", Precision.FP32),))
    (artifact,) = ashore.convert(source(), to=["fake"], recipe=recipe, output=tmp_path)
    assert artifact.file.name == "tiny.fake.int8-dynamic.fake"
    assert artifact.manifest.recipe == recipe
    (other,) = ashore.convert(source(), to=["fake"], recipe=recipe, precisions=["fp16"], output=tmp_path)
    assert other.manifest.recipe == recipe.with_precision(Precision.FP16)


@pytest.mark.usefixtures("fakes")
def test_the_command_takes_the_precision_of_its_recipe(command: Command, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "r.toml").write_text('precision = "fp16"\n[[layers]]\npattern = "head"\nprecision = "fp32"\n')
    words = (
        "convert",
        f"{tmp_path}/net.py:model",
        "--to",
        "fake",
        "--recipe",
        tmp_path / "r.toml",
        "-o",
        tmp_path / "o",
    )
    (artifact,) = command(*words, "--json").document["artifacts"]
    assert artifact["path"].endswith("model.fake.fp16.fake")
    assert artifact["manifest"]["recipe"]["layers"] == [{"pattern": "head", "precision": "fp32"}]
    (artifact,) = command(*words, "--precision", "fp32", "--json").document["artifacts"]
    assert artifact["path"].endswith("model.fake.fp32.fake")


@pytest.mark.usefixtures("fakes")
def test_the_folder_is_named_after_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (artifact,) = ashore.convert(source(), to=["fake"], name="other")
    assert artifact.file == Path("other/other.fake.fp32.fake")
    assert artifact.file.is_file()


@pytest.mark.usefixtures("fakes")
def test_a_second_conversion_replaces_the_first_whole(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    first = ashore.convert(source(), to=["fake"], output=tmp_path)[0].manifest
    second = ashore.convert(source(), to=["fake"], output=tmp_path)[0]
    assert second.manifest.file.sha256 != first.file.sha256
    assert ashore.verify(second.file).artifact.manifest == second.manifest
    assert len(names(tmp_path)) == 4
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("fault", [{"fails": True}, {"noise": 1.0}, {"spoil": "nan"}, {"raises": KeyboardInterrupt()}])
def test_a_failure_leaves_the_older_files_as_they_were(fakes: dict, tmp_path: Path, fault: dict) -> None:
    ashore.convert(source(), to=["fake", "sham"], output=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for name, value in fault.items():
        setattr(fakes["sham"], name, value)
    with pytest.raises((AccuracyError, LoweringFailed, KeyboardInterrupt)):
        ashore.convert(source(), to=["fake", "sham"], output=tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.usefixtures("fakes")
def test_conversion_works_outside_of_the_main_thread(tmp_path: Path) -> None:
    found: list = []
    thread = threading.Thread(target=lambda: found.extend(ashore.convert(source(), to=["fake"], output=tmp_path)))
    thread.start()
    thread.join()
    assert ashore.verify(found[0].file).passed


@pytest.mark.usefixtures("fakes")
def test_stages_are_told_as_they_begin(tmp_path: Path) -> None:
    stages: list[str] = []
    ashore.convert(source(), to=["fake"], output=tmp_path, progress=stages.append)
    assert stages == [
        "running tiny in PyTorch",
        "answering 8 evaluation samples in PyTorch",
        "tiny.fake.fp32.fake: converting",
        "tiny.fake.fp32.fake: pretending",
        "tiny.fake.fp32.fake: comparing with PyTorch",
    ]


def limited(limit_bytes: int) -> str:
    """The command in a process whose files may not grow beyond a size, as on a full disk."""
    return (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_bytes}, {limit_bytes}))\n"
        f"import runpy, sys; sys.argv[0] = 'ashore'; sys.path.insert(0, {str(FAKES.parent)!r})\n"
        f"runpy.run_path({str(FAKES)!r}, run_name='__main__')"
    )


@pytest.mark.parametrize("file_bytes", [1_000_000, 99_000])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, file_bytes: int) -> None:
    """The second size fits the model file by itself, and the golden samples no more."""
    (tmp_path / "net.py").write_text("import torch\nmodel = (torch.nn.Identity(), torch.randn(1, 9000))\n")
    words = ["convert", "net.py:model", "--to", "fake", "-o", "new/out"]
    done = subprocess.run(
        [sys.executable, "-c", limited(100_000), *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "ASHORE_FAKES": json.dumps({"bytes": file_bytes})},
    )
    assert done.returncode == 2, done.stderr
    assert "error: writing to new/out failed: File too large" in done.stderr
    assert "hint: free space there, or give another folder with -o" in done.stderr
    assert not (tmp_path / "new").exists()


@pytest.fixture
def slow_conversion(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """``ashore convert`` in the middle of its work, which a child process does."""
    (tmp_path / "net.py").write_text(NET)
    process = subprocess.Popen(
        [sys.executable, FAKES, "convert", "net.py:model", "--to", "fake", "-o", "new/out", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "ASHORE_FAKES": json.dumps({"sleep_s": 600, "child": True})},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line == "working\n":
            break
    yield process
    for left in (*psutil.Process(process.pid).children(recursive=True), process) if process.poll() is None else ():
        left.kill()
    process.communicate()


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "ended by SIGTERM"),
        (signal.SIGHUP, 129, "ended by SIGHUP"),
    ],
)
def test_an_interrupted_conversion_leaves_no_file_and_no_process(
    slow_conversion: subprocess.Popen[str], tmp_path: Path, number: int, code: int, message: str
) -> None:
    assert list((tmp_path / "new" / "out").iterdir()), "it is in the middle of its work"
    family = wait_for_children(slow_conversion.pid)
    slow_conversion.send_signal(number)
    out, err = slow_conversion.communicate(timeout=60)
    assert slow_conversion.returncode == code
    assert f"error: {message}" in err
    assert "Traceback" not in err
    assert json.loads(out)["error"]["exit_code"] == code
    assert not (tmp_path / "new").exists()
    assert not [child for child in family if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def wait_for_children(pid: int) -> list[psutil.Process]:
    deadline_s = time.monotonic() + 30
    while not (children := psutil.Process(pid).children(recursive=True)):
        assert time.monotonic() < deadline_s, "the conversion started no child"
        time.sleep(0.01)
    return children


@pytest.mark.parametrize("stage", ["import", "factory"])
def test_sigterm_while_the_users_code_runs_is_not_taken_for_its_error(tmp_path: Path, stage: str) -> None:
    wait = "import sys, time\nprint('waiting', file=sys.stderr, flush=True)\ntime.sleep(600)\n"
    body = wait if stage == "import" else "def model():\n" + "".join(f"    {line}\n" for line in wait.splitlines())
    (tmp_path / "slow.py").write_text(body)
    process = subprocess.Popen(
        [sys.executable, FAKES, "convert", "slow.py:model", "--to", "fake"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line == "waiting\n":
            break
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "raised" not in err


@pytest.mark.usefixtures("fakes")
def test_a_signal_during_publication_waits_until_all_files_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def interrupting(self: Path, target: Path) -> Path:
        signal.raise_signal(signal.SIGINT)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupting)
    with pytest.raises(KeyboardInterrupt):
        ashore.convert(source(), to=["fake", "sham"], output=tmp_path)
    monkeypatch.undo()
    assert len(names(tmp_path)) == 6
    assert not [name for name in names(tmp_path) if name.startswith(".ashore-")]
