"""``ashore doctor``: what is missing comes with the command that adds it."""

from __future__ import annotations

import shutil
from importlib import metadata

import pytest

from ashore.pipeline.doctor import Finding, Health, examine
from commands import Command


def found(name: str) -> Finding:
    return next(finding for finding in examine() if finding.name == name)


def lose_package(monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    version = metadata.version

    def without(name: str) -> str:
        if name == lost:
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without)


@pytest.mark.parametrize(
    ("package", "remedy"),
    [
        ("executorch", 'pip install "ashore[executorch]"'),
        ("ai-edge-litert", 'pip install "ashore[litert]"'),
        ("transformers", 'pip install "ashore[huggingface]"'),
        ("onnxruntime", 'pip install "ashore[onnx]"'),
    ],
)
def test_a_missing_package_comes_with_its_extra(monkeypatch: pytest.MonkeyPatch, package: str, remedy: str) -> None:
    lose_package(monkeypatch, package)
    finding = found(package)
    assert finding.health is Health.MISSING
    assert finding.remedy == remedy
    assert finding.needed_for
    assert "wanted" in finding.detail


def test_another_version_than_the_tested_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: "0.0.1")
    finding = found("executorch")
    assert finding.health is Health.UNTESTED
    assert finding.detail == "0.0.1, tested with ==1.5.1"
    assert finding.remedy == 'pip install "ashore[executorch]"'


@pytest.mark.parametrize(("program", "package"), [("adb", "adb"), ("qemu-aarch64", "qemu-user"), ("cmake", "cmake")])
def test_a_missing_program_comes_with_its_package(monkeypatch: pytest.MonkeyPatch, program: str, package: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    finding = found(program)
    assert (finding.health, finding.remedy) == (Health.MISSING, f"apt-get install {package}")


def test_what_is_there_needs_no_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert found("adb") == Finding("adb", Health.OK, "/bin/adb", "Android targets")


def test_the_command_says_the_same_as_json_and_as_a_table(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    findings = {each["name"]: each for each in command("doctor", "--json").document["findings"]}
    assert findings["adb"]["health"] == "missing"
    assert findings["adb"]["remedy"] == "apt-get install adb"
    lose_package(monkeypatch, "litert-torch")
    table = command("doctor")
    assert table.code == 0
    assert "apt-get install adb" in table.out
    assert 'pip install "ashore[litert]"' in table.out
