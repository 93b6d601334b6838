"""The ``adb:`` target: the real adb client, a phone's daemon, and the arm64 runner under qemu."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import ashore
from ashore import registry
from ashore.types.artifact import Artifact
from ashore.types.target import TargetKind
from commands import Command
from device import AdbServer, Phone
from phones import target_id, use

BACKENDS = {"executorch": ".pte", "litert": ".tflite"}


def tiny(folder: Path, name: str, backend: str) -> Artifact:
    return Artifact(folder / (name + BACKENDS[backend]), backend)


def test_verify_passes_on_the_device(phone: Phone, converted: list[Path], command: Command) -> None:
    done = command("verify", *converted, "--target", target_id(phone), "--json")
    assert done.code == 0, done.err
    found = done.document["verifications"]
    assert [(each["path"], each["target"], each["passed"]) for each in found] == [
        (str(file), target_id(phone), True) for file in converted
    ]


def test_the_device_answers_bit_for_bit_as_the_emulator(phone: Phone, converted: list[Path]) -> None:
    image = np.random.default_rng(5).standard_normal((1, 3, 16, 16), np.float32)
    for file in converted:
        answers = []
        for target in (target_id(phone), "emulator:cortex-a76"):
            with ashore.open_session(file, target=target) as session:
                answers.append(session.run({session.inputs[0].name: image}))
        for name, array in answers[0].items():
            np.testing.assert_array_equal(array, answers[1][name])


@pytest.mark.parametrize("backend", BACKENDS)
def test_arrays_of_many_kinds_go_there_and_back(phone: Phone, tiny_files: Path, backend: str) -> None:
    with ashore.open_session(tiny(tiny_files, "affine", backend), target=target_id(phone)) as session:
        zebra, apple = session.inputs
        given = {
            zebra.name: np.arange(8, dtype=np.float32).reshape(2, 4),
            apple.name: np.arange(6, dtype=apple.dtype),
        }
        results = list(session.run(given).values())
        assert session.last_run_ns > 0 and session.load_ns > 0
        assert session.runner == "native" and session.pid is None
        assert session.memory().rss_bytes > 1_000_000
    with ashore.open_session(tiny(tiny_files, "affine", backend)) as on_host:
        for mine, theirs in zip(results, on_host.run(given).values(), strict=True):
            assert mine.dtype == theirs.dtype
            np.testing.assert_allclose(mine, theirs, rtol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_sizes_may_change_from_run_to_run(phone: Phone, tiny_files: Path, backend: str) -> None:
    with ashore.open_session(tiny(tiny_files, "sum", backend), target=target_id(phone), threads=2) as session:
        for rows in (1, 64, 3):
            ones = np.ones((rows, 4), np.float32)
            (result,) = session.run({spec.name: ones for spec in session.inputs}).values()
            np.testing.assert_array_equal(result, ones + ones)
        assert len(session.repeat(5)) == 5


def test_what_the_device_holds_is_not_pushed_again(phone: Phone, tiny_files: Path) -> None:
    use(phone, tiny_files / "turn.pte")
    phone.pushed.clear()
    use(phone, tiny_files / "turn.pte")
    assert phone.pushed == []


def test_sessions_that_open_at_once_push_once(phone: Phone, tiny_files: Path, command: Command) -> None:
    assert command("targets", "--clean", target_id(phone)).code == 0
    phone.pushed.clear()
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(use, phone, tiny_files / "turn.pte") for _ in range(4)]:
            done.result()
    loaders = [path for path in phone.pushed if path.endswith("/ashore-runner")]
    assert len(loaders) == 1


def test_two_devices_work_at_once_each_for_itself(phones: tuple[Phone, Phone], tiny_files: Path) -> None:
    begin = threading.Barrier(2, timeout=60)

    def work(phone: Phone, value: int) -> np.ndarray:
        with ashore.open_session(tiny(tiny_files, "turn", "executorch"), target=target_id(phone)) as session:
            begin.wait()  # both are loaded
            for _ in range(20):
                (result,) = session.run({session.inputs[0].name: np.full((2, 3), value, np.int8)}).values()
            return result

    with ThreadPoolExecutor(2) as pool:
        for value, result in enumerate(pool.map(work, phones, (0, 1))):
            np.testing.assert_array_equal(result, np.full((3, 2), value, np.int8))


def test_targets_shows_each_device_with_what_it_is(phones: tuple[Phone, Phone], command: Command) -> None:
    listed = {each["id"]: each for each in command("targets", "--json").document["targets"]}
    for phone, model in zip(phones, ("Left", "Right"), strict=True):
        info = listed[target_id(phone)]
        assert info["ready"] and info["problem"] is None
        assert info["kind"] == "device" and info["abi"] == "arm64" and info["cores"] == 8
        assert info["cpu"] == "Imagined IM8000 (6x Cortex-A55 + 2x Cortex-A76)"
        assert info["memory_bytes"] == 7812500 * 1024
        assert info["os"] == f"Android 14, Ashore {model}"
        assert info["runner"] == "native" and set(info["backends"]) == set(BACKENDS)


def test_a_file_gives_a_device_a_name(
    phone: Phone, tiny_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    (tmp_path / "mine.toml").write_text(f'kind = "adb"\nserial = "{phone.serial}"\n')
    monkeypatch.setenv("ASHORE_TARGETS", str(tmp_path))
    ids = [each["id"] for each in command("targets", "--json").document["targets"]]
    assert "adb:mine" in ids and target_id(phone) not in ids
    info = registry.get_target("adb:mine").describe()
    assert info.kind is TargetKind.DEVICE and info.ready
    with ashore.open_session(tiny(tiny_files, "turn", "executorch"), target="adb:mine"):
        pass


def test_cleaning_removes_everything_and_the_next_run_works(phone: Phone, tiny_files: Path, command: Command) -> None:
    use(phone, tiny_files / "turn.pte")
    done = command("targets", "--clean", target_id(phone))
    assert done.code == 0 and done.out.startswith(f"removed /data/local/tmp/ashore from {phone.serial}, ")
    assert list(phone.store.iterdir()) == []
    again = command("targets", "--clean", target_id(phone), "--json")
    assert again.document == {
        "target": target_id(phone),
        "done": f"there was nothing of ashore on {phone.serial}",
    }
    use(phone, tiny_files / "turn.pte")


def test_there_is_nothing_to_clean_on_the_host(command: Command) -> None:
    done = command("targets", "--clean", "host")
    assert done.code == 2 and "there is nothing to clean on host" in done.err


def test_a_device_on_the_network_that_adb_forgot_is_reached_for(
    phone: Phone, tiny_files: Path, adb_server: AdbServer
) -> None:
    adb_server.adb("disconnect", phone.serial)
    use(phone, tiny_files / "turn.pte")


PROGRAM = """
import sys, time
import ashore
session = ashore.open_session(sys.argv[1], target=sys.argv[2])
print("open", flush=True)
time.sleep(1000)
"""


def test_the_runner_ends_with_a_program_that_is_killed(phone: Phone, tiny_files: Path) -> None:
    words = [sys.executable, "-c", PROGRAM, tiny_files / "turn.pte", target_id(phone)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None and program.stdout.readline() == "open\n"
        assert len(phone.pids) == 1
        program.kill()
    # that the phone has nothing left to do is what its fixture asserts
