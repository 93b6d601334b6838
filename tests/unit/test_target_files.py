"""Targets in TOML files: a file is a target, and a wrong one is named with its key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ashore import registry
from ashore.errors import TargetUnavailable, UsageError
from ashore.types.target import TargetKind
from commands import Command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASHORE_TARGETS", str(tmp_path))
    return tmp_path


def ids() -> list[str]:
    return [target.id for target in registry.all_targets()]


def test_every_cpu_of_the_package_is_a_target() -> None:
    shipped = ["a64fx", "cortex-a53", "cortex-a72", "cortex-a76", "neoverse-n1"]
    assert [name for name in ids() if name.startswith("emulator:")] == [f"emulator:{cpu}" for cpu in shipped]
    for cpu in shipped:
        info = registry.get_target(f"emulator:{cpu}").describe()
        assert (info.cpu, info.kind, info.abi, info.runner) == (cpu, TargetKind.EMULATOR, "arm64", "native")


def test_a_file_is_a_target(folder: Path) -> None:
    (folder / "pi4.toml").write_text('kind = "emulator"\ncpu = "cortex-a72"\n')
    (folder / "plain.toml").write_text('schema = "ashore.target/1"\nkind = "host"\nrunner = "python"\n')

    assert {"emulator:pi4", "host:plain", "host", "emulator:cortex-a72"} <= set(ids())
    assert registry.get_target("emulator:pi4").describe().cpu == "cortex-a72"
    info = registry.get_target("host:plain").describe()
    assert (info.id, info.runner, info.notes) == (
        "host:plain",
        "python",
        ("models run through Python, as was asked for",),
    )


def test_a_file_takes_the_place_of_ashores_own(folder: Path) -> None:
    (folder / "host.toml").write_text('kind = "host"\nrunner = "python"\n')
    (folder / "cortex-a76.toml").write_text('kind = "emulator"\ncpu = "cortex-a57"\n')
    assert registry.get_target("host").describe().runner == "python"
    assert registry.get_target("emulator:cortex-a76").describe().cpu == "cortex-a57"
    assert ids().count("host") == 1


def test_files_lie_in_the_users_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASHORE_TARGETS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert "emulator:pi3" not in ids()
    (tmp_path / "ashore" / "targets").mkdir(parents=True)
    (tmp_path / "ashore" / "targets" / "pi3.toml").write_text('kind = "emulator"\ncpu = "cortex-a53"\n')
    assert "emulator:pi3" in ids()


def test_several_folders_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.toml").write_text('kind = "emulator"\ncpu = "cortex-a53"\n')
    monkeypatch.setenv("ASHORE_TARGETS", os.pathsep.join(str(tmp_path / name) for name in ("one", "two")))
    assert {"emulator:one", "emulator:two"} <= set(ids())
    monkeypatch.setenv("ASHORE_TARGETS", str(tmp_path / "three"))
    with pytest.raises(UsageError, match=r"ASHORE_TARGETS names .*three, which is no folder"):
        ids()


WRONG = {
    "key 'kind' in {} is missing": 'cpu = "cortex-a76"',
    "key 'kind' in {} is 'emulater'": 'kind = "emulater"',
    "key 'cpu' in {} is missing": 'kind = "emulator"',
    "key 'cpu' in {} is 76": 'kind = "emulator"\ncpu = 76',
    "key 'cpu' in {} is 'Cortex A76', which is no CPU's name": 'kind = "emulator"\ncpu = "Cortex A76"',
    "key 'cpu' in {} is 'cortex-a76,aarch64=off', which": 'kind = "emulator"\ncpu = "cortex-a76,aarch64=off"',
    "key 'cores' in {} is unknown": 'kind = "emulator"\ncpu = "cortex-a76"\ncores = "4"',
    "key 'schema' in {} is 'ashore.target/9'": 'schema = "ashore.target/9"\nkind = "host"',
    "key 'runner' in {} is 'rust'": 'kind = "host"\nrunner = "rust"',
    "key 'cpu' in {} is 'max': qemu's 'max' gives wrong int8": 'kind = "emulator"\ncpu = "max"',
    "key 'cpu' in {} is 'max,sve=off': qemu's 'max'": 'kind = "emulator"\ncpu = "max,sve=off"',
    "{} is not readable TOML: ": "kind = ",
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_file_is_named_with_its_key(folder: Path, command: Command, message: str) -> None:
    file = folder / "board.toml"
    file.write_text(WRONG[message])
    done = command("targets")
    assert done.code == 2
    assert done.err.startswith("error: " + message.format(file))
    assert "hint: " in done.err


def test_a_wrong_file_is_no_hindrance_to_other_targets(folder: Path) -> None:
    (folder / "broken.toml").write_text("kind = ")
    for name in ("host", "emulator:cortex-a76"):
        assert registry.get_target(name).id == name
    with pytest.raises(UsageError, match=r"broken\.toml is not readable TOML"):
        registry.get_target("emulator:broken")


def test_a_name_that_would_be_none_is_refused(folder: Path) -> None:
    (folder / "my board.toml").write_text('kind = "emulator"\ncpu = "cortex-a76"\n')
    with pytest.raises(UsageError, match=r"would name a target 'my board'"):
        ids()


@pytest.mark.parametrize("name", ["emulator:pentium", "emulator:", "emulator:../targets/cortex-a76", "emulator"])
def test_a_target_nobody_described_is_named_with_the_known_ones(folder: Path, name: str) -> None:
    with pytest.raises(TargetUnavailable) as caught:
        registry.get_target(name)
    assert caught.value.message == f"there is no target {name!r}"
    assert "emulator:cortex-a76" in caught.value.hint
    assert f"a file {folder}/<name>.toml adds another" in caught.value.hint


def test_qemus_max_is_refused_with_the_reason() -> None:
    with pytest.raises(TargetUnavailable) as caught:
        registry.get_target("emulator:max")
    assert "wrong int8 results" in caught.value.message
    assert "emulator:cortex-a76" in caught.value.hint


def test_what_an_emulator_lacks_comes_with_the_command(monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    targets = {each["id"]: each for each in command("targets", "--json").document["targets"]}
    assert targets["emulator:cortex-a76"]["problem"] == (
        "qemu-aarch64 and aarch64-linux-gnu-g++ and cmake and make are missing: "
        "apt-get install qemu-user g++-aarch64-linux-gnu cmake make"
    )
    assert not targets["emulator:cortex-a76"]["ready"]


def test_the_table_shows_runners_and_notes(monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    monkeypatch.setenv("ASHORE_RUNNER", "python")
    done = command("targets")
    assert done.code == 0
    assert "host: models run through Python, as was asked for" in done.out
    assert "emulator:neoverse-n1" in done.out
