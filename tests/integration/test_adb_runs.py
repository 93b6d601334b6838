"""Runners on a device that die, hang or break off: each ends in its own error, nothing runs on, the next run works."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import ashore
from ashore.cache import cache_folder
from ashore.errors import DeviceTimeout, EngineCrashed, ExecutionError, TargetUnavailable, TransferFailed
from ashore_runtimes.android import client as adb_client
from ashore_runtimes.android import run as adb_run
from device import AdbServer, Phone
from phones import ONES, eventually, failure, target_id, use

pytestmark = pytest.mark.usefixtures("nothing_left_running")


@pytest.mark.parametrize(
    ("number", "advice"), [(signal.SIGSEGV, "damaged"), (signal.SIGKILL, "memory runs short"), (signal.SIGILL, "CPU")]
)
def test_a_runner_that_dies_is_reported_with_its_signal(
    phone: Phone, file: Path, number: signal.Signals, advice: str
) -> None:
    error = failure(EngineCrashed, lambda: use(phone, file, meanwhile=lambda: phone.signal_runners(number)))
    assert error.message.startswith(
        f"the engine's process on {phone.serial} was killed by {number.name} while running turn.pte with executorch"
    )
    assert advice in error.hint
    use(phone, file)


def test_a_run_that_hangs_is_ended_on_the_device_too(phone: Phone, file: Path) -> None:
    """A stopped process does not even hear adb's hang-up."""
    error = failure(
        DeviceTimeout,
        lambda: use(phone, file, timeout_s=1.0, meanwhile=lambda: phone.signal_runners(signal.SIGSTOP)),
    )
    assert error.message == (
        f"running turn.pte with executorch on {phone.serial} took longer than the limit of 1 s and was ended"
    )
    assert "raise timeout_s (--timeout)" in error.hint
    assert eventually(lambda: not phone.pids)
    use(phone, file)


def test_closing_ends_a_runner_that_hangs(phone: Phone, file: Path) -> None:
    session = ashore.open_session(file, target=target_id(phone))
    assert phone.signal_runners(signal.SIGSTOP) == 1
    session.close()
    assert eventually(lambda: not phone.pids)


def test_a_runner_that_never_comes_up(phone: Phone, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adb_run, "START_LIMIT_S", 1.0)
    phone.faults.hang_runner = True
    error = failure(DeviceTimeout, lambda: use(phone, file))
    assert error.message.startswith(f"starting the executorch engine on {phone.serial} took longer than the limit")
    assert eventually(lambda: not phone.pids)
    monkeypatch.undo()
    phone.faults.clear()
    use(phone, file)


def test_a_runner_that_may_not_be_executed(phone: Phone, file: Path) -> None:
    (loader,) = phone.store.glob("ashore/*/ld-linux-aarch64.so.1")
    loader.write_bytes(b"\0" * loader.stat().st_size)  # of the right size, and no program
    error = failure(TargetUnavailable, lambda: use(phone, file))
    assert error.message.startswith(f"the runner on {phone.serial} ")
    assert f"ashore targets --clean adb:{phone.serial}" in error.hint
    loader.unlink()
    use(phone, file)


def test_a_phone_that_answers_no_command(phone: Phone, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adb_client, "COMMAND_LIMIT_S", 1.0)
    phone.faults.hang_shell = True
    error = failure(DeviceTimeout, lambda: use(phone, file))
    assert error.message.startswith(f"looking for what it holds on {phone.serial} took longer than the limit of 1 s")
    assert eventually(lambda: not phone.pids)
    monkeypatch.undo()
    phone.faults.clear()
    use(phone, file)


@pytest.mark.parametrize(("length", "doing"), [(10, "starting the executorch engine"), (600, "turn.pte")])
def test_an_answer_that_breaks_off(phone: Phone, file: Path, length: int, doing: str) -> None:
    phone.faults.truncate_output_after = length
    error = failure(TransferFailed, lambda: use(phone, file))
    assert error.message.startswith(f"the connection to {phone.serial} broke off while ") and doing in error.message
    phone.faults.clear()
    use(phone, file)


def test_a_phone_that_dies_in_a_run(phone: Phone, file: Path) -> None:
    error = failure(TargetUnavailable, lambda: hang_in_run(phone, file, phone.die))
    assert error.message.startswith(f"{phone.serial} does not answer (offline), while running turn.pte")
    phone.recover()
    use(phone, file)


def test_a_connection_that_breaks_in_a_run_ends_the_runner(phone: Phone, file: Path) -> None:
    error = failure(TargetUnavailable, lambda: hang_in_run(phone, file, phone.drop))
    assert "while running turn.pte" in error.message
    phone.faults.clear()
    assert eventually(lambda: not phone.pids)
    use(phone, file)


def test_a_server_that_is_killed_in_a_run(
    phone: Phone, file: Path, adb_server: AdbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The next call starts a new server, which must not make its keys in the home of whoever runs the tests.
    monkeypatch.setenv("ASHORE_CACHE", str(cache_folder()))
    monkeypatch.setenv("HOME", str(adb_server.home))
    error = failure(TargetUnavailable, lambda: hang_in_run(phone, file, lambda: adb_server.adb("kill-server")))
    assert error.message == f"{phone.serial} vanished while running turn.pte with executorch"
    assert "restarted adb's server" in error.hint
    phone.faults.clear()
    use(phone, file)


def test_a_session_says_why_it_is_over(phone: Phone, file: Path) -> None:
    with ashore.open_session(file, target=target_id(phone)) as session:
        phone.signal_runners(signal.SIGSEGV)
        inputs = {session.inputs[0].name: ONES}
        for kind in (EngineCrashed, ExecutionError):
            error = failure(kind, lambda: session.run(inputs))
    assert error.message.startswith("this session is over: the engine's process on ")


def hang_in_run(phone: Phone, file: Path, act: Callable[[], object]) -> None:
    """A run whose answer does not come, and ``act`` during it."""

    def begin() -> None:
        phone.faults.mute_runner = 1
        threading.Timer(0.3, act).start()

    use(phone, file, meanwhile=begin)
