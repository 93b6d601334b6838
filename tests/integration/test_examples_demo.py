"""The demo from end to end, with a network small enough for a test in the place of MobileNetV2."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from ashore import AccuracyError, ModelSource
from ashore.profiling.profiles import load_profile

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The demo in an empty folder, where it cannot overwrite anybody's files."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module("demo")
    monkeypatch.setattr(module.mobilenet_v2, "model", lambda: _small_source(module.mobilenet_v2))
    yield module


def _small_source(mobilenet_v2: ModuleType) -> ModelSource:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 7, stride=16), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 14 * 14, 10)
    )
    pictures = [mobilenet_v2.prepare(pixels) for _, pixels in mobilenet_v2.photographs()]
    return ModelSource(
        network.eval(),
        (torch.from_numpy(pictures[0]),),
        name="small",
        calibration=pictures,
        evaluation=pictures,
        labels=tuple(f"class {index}" for index in range(10)),
    )


def test_the_demo_leaves_verified_files_and_a_table(demo: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    assert demo.main() == 0
    names = [
        f"small.{file}"
        for file in ("executorch.fp32.pte", "executorch.int8.pte", "litert.fp32.tflite", "litert.int8.tflite")
    ]
    for name in names:
        assert Path("demo", name).stat().st_size > 1000
        assert Path("demo", name).with_suffix(".json").is_file()
    lines = Path("demo", "summary.md").read_text().splitlines()
    assert lines[2].startswith("| PyTorch eager |")
    assert sorted(line.split("|")[1].strip() for line in lines[3:7]) == names
    host, emulator = (load_profile(Path("demo", f"profile.{kind}.json")) for kind in ("host", "emulator"))
    assert [each.settings.threads for each in host.results] == [1, 2] * 4
    assert all(each.instructions and not each.latency_ns for each in emulator.results)
    assert "emulator:cortex-a76" in Path("demo", "report.html").read_text()
    printed = capfd.readouterr()
    assert "open demo/report.html" in printed.out
    for path in demo.mobilenet_v2.EVALUATION_PHOTOGRAPHS:
        assert Path(path).stem in printed.out
    assert "small.litert.int8.tflite: converting" in printed.err


def test_a_file_below_its_floor_fails_the_demo_and_says_what_to_do(
    demo: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AccuracyError("small.litert.int8.tflite differs too much from PyTorch: 3.0 dB", "calibrate on more")

    monkeypatch.setattr(demo, "convert", refuse)
    assert demo.main() == AccuracyError.exit_code
    printed = capfd.readouterr().err
    assert "small.litert.int8.tflite differs too much from PyTorch: 3.0 dB" in printed
    assert "hint: calibrate on more" in printed
    assert not Path("demo").exists()
