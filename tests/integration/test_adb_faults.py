"""The ``adb:`` target when things go wrong: each ends in its own error, in words that help, and the next run works."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

import ashore
from ashore import registry
from ashore.errors import AshoreError, DeviceTimeout, EngineCrashed, TargetUnavailable, TransferFailed
from ashore_runtimes import adb_client, adb_run
from ashore_runtimes.cache import cache_folder
from commands import Command
from device import AdbServer, Phone

ONES = np.ones((2, 3), np.int8)


@pytest.fixture
def file(phone: Phone, tiny_files: Path) -> Path:
    """A model that the phone has yet to be given, while it has the runner."""
    use(phone, tiny_files / "turn.pte")
    shutil.rmtree(phone.store / "ashore/models")
    phone.pushed.clear()
    return tiny_files / "turn.pte"


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Neither here; what is left on the phone, its own fixture looks at."""
    yield
    psutil.wait_procs(psutil.Process().children(recursive=True), timeout=10)
    assert not psutil.Process().children(recursive=True)


def use(phone: Phone, file: Path, timeout_s: float = 60.0, meanwhile: Callable[[], object] | None = None) -> None:
    """Load and run once; ``meanwhile`` is called between the two."""
    with ashore.open_session(file, target=f"adb:{phone.serial}", timeout_s=timeout_s) as session:
        if meanwhile is not None:
            meanwhile()
        (result,) = session.run({session.inputs[0].name: ONES}).values()
    np.testing.assert_array_equal(result, ONES.T)


def failure(kind: type[AshoreError], work: Callable[[], object]) -> AshoreError:
    with pytest.raises(kind) as caught:
        work()
    assert type(caught.value) is kind and caught.value.hint
    return caught.value


def soon(act: Callable[[], object]) -> Callable[[], None]:
    """Start a clock after which ``act`` is called, while a run is under way."""
    return threading.Timer(0.3, act).start


def parts(phone: Phone) -> list[str]:
    """What broken pushes left on the phone."""
    return [path.name for path in phone.store.rglob("*.part-*")]


def models(phone: Phone) -> list[str]:
    return [path.name for path in (phone.store / "ashore/models").glob("*")]


# --- devices that are not there, or do not let us in


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


@pytest.fixture
def strange(adb_server: AdbServer, phones: object, tmp_path: Path) -> Iterator[Callable[..., Phone]]:
    """``strange(properties, features)``: a phone of another kind."""
    del phones  # has looked for adb
    made: list[Phone] = []

    def make(*kind: object) -> Phone:
        made.append(Phone(tmp_path / f"strange-{len(made)}", *kind))  # type: ignore[arg-type]  # as in Phone
        adb_server.connect(made[-1])
        return made[-1]

    yield make
    for each in made:
        adb_server.adb("disconnect", each.serial)
        each.die()


def test_a_device_of_another_processor(strange: Callable[..., Phone], tiny_files: Path) -> None:
    tablet = strange({"ro.product.cpu.abilist": "x86_64,x86", "ro.product.cpu.abi": "x86_64"})
    info = registry.get_target(f"adb:{tablet.serial}").describe()
    assert info.problem == "its programs are x86_64, and the runner that is pushed is made for arm64 alone"
    error = failure(TargetUnavailable, lambda: use(tablet, tiny_files / "turn.pte"))
    assert error.message == f"{tablet.serial} runs x86_64 programs, and the runner is made for arm64"


def test_an_old_android(strange: Callable[..., Phone], tiny_files: Path) -> None:
    old = strange({}, "cmd")
    error = failure(TargetUnavailable, lambda: use(old, tiny_files / "turn.pte"))
    assert error.message == f"{old.serial} runs an Android older than 7, whose shell tells no exit codes"


# --- pushes that fail


def test_a_full_disk(phone: Phone, file: Path) -> None:
    phone.faults.free_bytes = 100
    error = failure(TransferFailed, lambda: use(phone, file))
    assert error.message == f"pushing turn.pte failed: no space is left on {phone.serial}"
    assert f"ashore targets --clean adb:{phone.serial}" in error.hint
    assert parts(phone) == models(phone) == []
    phone.faults.clear()
    use(phone, file)


def test_a_connection_that_breaks_in_the_middle_of_a_push(phone: Phone, file: Path) -> None:
    phone.faults.cut_push_after = 100
    error = failure(TransferFailed, lambda: use(phone, file))
    assert error.message == f"the connection to {phone.serial} broke off while pushing turn.pte"
    assert "cable" in error.hint
    assert [name for name in models(phone) if ".part-" not in name] == []
    phone.faults.clear()
    use(phone, file)


def test_a_bundle_that_was_cut_short_is_never_started(strange: Callable[..., Phone], tiny_files: Path) -> None:
    fresh = strange()
    fresh.faults.cut_push_after = 500_000
    error = failure(TransferFailed, lambda: use(fresh, tiny_files / "turn.pte"))
    assert error.message.endswith("broke off while pushing the runner")
    assert not any("exec ./ld-linux" in command for command in fresh.commands)
    fresh.faults.clear()
    use(fresh, tiny_files / "turn.pte")
    assert parts(fresh) == []


def test_a_push_that_stalls_is_given_up_at_the_limit(phone: Phone, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adb_client, "PUSH_LIMIT_S", 1.0)
    phone.faults.stall_push_after = 100
    error = failure(DeviceTimeout, lambda: use(phone, file))
    assert error.message.startswith(f"pushing turn.pte to {phone.serial} took longer than the limit of 1")
    assert parts(phone) == models(phone) == []
    monkeypatch.undo()
    phone.faults.clear()
    use(phone, file)


def test_what_arrives_altered_is_refused(phone: Phone, file: Path) -> None:
    phone.faults.damage_pushed = "/models/"
    error = failure(TransferFailed, lambda: use(phone, file))
    assert error.message == f"pushing turn.pte failed: what arrived on {phone.serial} differs from what was sent"
    assert parts(phone) == models(phone) == []
    phone.faults.clear()
    use(phone, file)


def test_a_phone_that_cannot_hash_is_checked_by_size(phone: Phone, file: Path) -> None:
    phone.faults.without = ("sha256sum",)
    use(phone, file)
    assert len(models(phone)) == 1


def test_storage_that_lies_is_found_out_by_the_runner(phone: Phone, converted: list[Path]) -> None:
    """Without sha256sum, only the runner, which is told the hash, can see that the bytes are others."""
    phone.faults.without = ("sha256sum",)
    phone.faults.damage_pushed = "/models/"
    error = failure(TransferFailed, lambda: open_only(phone, converted[0]))
    assert "reads differently" in error.message and "storage" in error.hint
    phone.faults.clear()
    open_only(phone, converted[0])


def test_a_model_that_decayed_on_the_device_is_pushed_again(phone: Phone, converted: list[Path]) -> None:
    open_only(phone, converted[0])
    (kept,) = (phone.store / "ashore/models").glob(file_sha256(converted[0]))
    content = kept.read_bytes()
    kept.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    open_only(phone, converted[0])
    assert kept.read_bytes() == content


def test_files_that_lost_their_end_on_the_device_are_pushed_again(phone: Phone, file: Path) -> None:
    use(phone, file)
    (runner,) = phone.store.glob("ashore/*/ashore-runner")
    (model,) = phone.store.glob("ashore/models/*")
    sizes = runner.stat().st_size, model.stat().st_size
    for each in (runner, model):
        os.truncate(each, 10)
    use(phone, file)
    assert (runner.stat().st_size, model.stat().st_size) == sizes


def test_what_broken_pushes_left_is_swept_up_hours_later(phone: Phone, file: Path) -> None:
    old = phone.store / "ashore" / f"{'0' * 64}.part-1"
    old.mkdir()
    (old / "ashore-runner").write_bytes(b"half")
    for each in (old / "ashore-runner", old):
        os.utime(each, (time.time() - 86400,) * 2)
    use(phone, file)
    assert parts(phone) == []


def test_ctrl_c_in_a_push_leaves_nothing_half_written(phone: Phone, file: Path) -> None:
    phone.faults.stall_push_after = 100
    script = "import sys, ashore; ashore.open_session(sys.argv[1], target=sys.argv[2])"
    words = [sys.executable, "-c", script, str(file), f"adb:{phone.serial}"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as program:
        assert eventually(lambda: bool(parts(phone)))
        program.send_signal(signal.SIGINT)
        assert program.stderr is not None and "KeyboardInterrupt" in program.stderr.read()
    assert parts(phone) == models(phone) == []
    phone.faults.clear()
    use(phone, file)


# --- runners that die, hang or break off


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
    assert "raise timeout_s" in error.hint
    assert eventually(lambda: not phone.pids)
    use(phone, file)


def test_closing_ends_a_runner_that_hangs(phone: Phone, file: Path) -> None:
    session = ashore.open_session(file, target=f"adb:{phone.serial}")
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
    with ashore.open_session(file, target=f"adb:{phone.serial}") as session:
        phone.signal_runners(signal.SIGSEGV)
        inputs = {session.inputs[0].name: ONES}
        for kind in (EngineCrashed, ashore.ExecutionError):
            error = failure(kind, lambda: session.run(inputs))
    assert error.message.startswith("this session is over: the engine's process on ")


def hang_in_run(phone: Phone, file: Path, act: Callable[[], object]) -> None:
    """A run whose answer does not come, and ``act`` during it."""

    def begin() -> None:
        phone.faults.mute_runner = 1
        soon(act)()

    use(phone, file, meanwhile=begin)


def open_only(phone: Phone, file: Path) -> None:
    ashore.open_session(file, target=f"adb:{phone.serial}").close()


def file_sha256(file: Path) -> str:
    from ashore.pipeline.artifacts import file_sha256

    return file_sha256(file)


def wait_for_state(adb_server: AdbServer, phone: Phone, state: str) -> None:
    assert eventually(lambda: f"{phone.serial}\t{state}" in adb_server.adb("devices"))


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether ``condition`` comes true before patience ends."""
    for _ in range(300):
        if condition():
            return True
        time.sleep(0.05)
    return False
