"""Devices that are not there, or do not let us in: each says so, with its remedy; and those that come back work."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import ashore
from ashore import registry
from ashore.errors import TargetUnavailable
from commands import Command
from device import AdbServer, Phone
from phones import eventually, failure, target_id, use

pytestmark = pytest.mark.usefixtures("nothing_left_running")


def test_a_phone_that_nobody_unlocked_says_what_to_accept(
    phone: Phone, file: Path, adb_server: AdbServer, command: Command
) -> None:
    phone.faults.unauthorized = True
    phone.drop()
    wait_for_state(adb_server, phone, "unauthorized")
    error = failure(TargetUnavailable, lambda: use(phone, file))
    assert error.message == f"{phone.serial} has not allowed this computer to use it (unauthorized)"
    assert 'accept "Allow USB debugging?" on its screen' in error.hint

    (listed,) = (each for each in command("targets", "--json").document["targets"] if phone.serial in each["id"])
    assert not listed["ready"] and "unlock the phone and accept" in listed["problem"]
    shown = command("targets")
    assert shown.code == 0 and "not ready" in shown.out

    phone.faults.clear()
    adb_server.connect(phone)
    use(phone, file)


def test_a_phone_that_is_off_is_offline_and_works_once_it_is_on(phone: Phone, file: Path) -> None:
    phone.die()
    error = failure(TargetUnavailable, lambda: use(phone, file))
    assert error.message == f"{phone.serial} does not answer (offline)"
    assert "plug it in again" in error.hint
    phone.boot()
    use(phone, file)


def test_a_serial_that_adb_does_not_know(phone: Phone, file: Path) -> None:
    del phone
    error = failure(TargetUnavailable, lambda: ashore.open_session(file, target="adb:R5CT1234567"))
    assert error.message == "R5CT1234567 is not among the devices that adb sees"
    assert "USB debugging" in error.hint


def test_a_target_without_a_serial() -> None:
    error = failure(TargetUnavailable, lambda: registry.get_target("adb:"))
    assert error.message == "there is no target 'adb:'" and "adb devices -l" in error.hint


def test_without_the_adb_program(
    phone: Phone, file: Path, monkeypatch: pytest.MonkeyPatch, command: Command, tmp_path: Path
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        error = failure(TargetUnavailable, lambda: use(phone, file))
        listed = command("targets", "--json")
    assert error.message == "phones are reached through adb, which is not on the PATH"
    assert error.hint.startswith("apt-get install adb")
    assert listed.code == 0 and all(each["kind"] != "device" for each in listed.document["targets"])
    use(phone, file)


SAID = {
    "no permissions (user in plugdev group; are your udev rules wrong?); see [http://example]": (
        "S1 may not be opened by this user (no permissions)",
        "udev rules",
    ),
    "recovery product:x": ("S1 is in the state 'recovery', not in Android", "adb -s S1 reboot"),
    "authorizing": ("S1 is still waiting to be allowed (authorizing)", "accept the prompt"),
}


@pytest.mark.parametrize("state", SAID)
def test_states_that_only_a_cable_brings(state: str, file: Path, fake_adb: Callable[[str], None]) -> None:
    fake_adb(f"echo '* daemon started successfully'; printf 'List of devices attached\\nS1   {state}\\n\\n'")
    message, hint = SAID[state]
    error = failure(TargetUnavailable, lambda: ashore.open_session(file, target="adb:S1"))
    assert error.message == message and hint in error.hint


def test_a_server_that_does_not_start(file: Path, fake_adb: Callable[[str], None], command: Command) -> None:
    fake_adb("echo 'error: cannot connect to daemon at tcp:5037: Connection refused' >&2; exit 1")
    error = failure(TargetUnavailable, lambda: ashore.open_session(file, target="adb:S1"))
    assert error.message.startswith("adb's server does not work: error: cannot connect to daemon")
    assert "adb kill-server" in error.hint
    assert "adb's server does not work" in command("targets", "--json").out


@pytest.fixture
def fake_adb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a script in adb's place."""

    def put(script: str) -> None:
        program = tmp_path / "bin" / "adb"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    return put


def test_a_device_of_another_processor(strange: Callable[..., Phone], tiny_files: Path) -> None:
    tablet = strange({"ro.product.cpu.abilist": "x86_64,x86", "ro.product.cpu.abi": "x86_64"})
    info = registry.get_target(target_id(tablet)).describe()
    assert info.problem == "its programs are x86_64, and the runner that is pushed is made for arm64 alone"
    error = failure(TargetUnavailable, lambda: use(tablet, tiny_files / "turn.pte"))
    assert error.message == f"{tablet.serial} runs x86_64 programs, and the runner is made for arm64"


def test_an_old_android(strange: Callable[..., Phone], tiny_files: Path) -> None:
    old = strange({}, "cmd")
    error = failure(TargetUnavailable, lambda: use(old, tiny_files / "turn.pte"))
    assert error.message == f"{old.serial} runs an Android older than 7, whose shell tells no exit codes"


def wait_for_state(adb_server: AdbServer, phone: Phone, state: str) -> None:
    assert eventually(lambda: f"{phone.serial}\t{state}" in adb_server.adb("devices"))
