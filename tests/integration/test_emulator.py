"""Emulated arm64 CPUs: real artifacts of both backends, and qemu's own ways to fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from torch import nn

import ashore
from ashore import registry
from ashore.errors import EngineCrashed, ExecutionError, TargetUnavailable
from ashore.interfaces import Session
from ashore.types.artifact import Artifact
from ashore_runtimes.runner.launch import Launch
from ashore_runtimes.session.session import RunnerSession
from commands import Command
from conversions import noisy_source
from programs import require_programs

CPUS = ("cortex-a53", "cortex-a72", "cortex-a76", "neoverse-n1", "a64fx")
INTEGERS_ALONE = ("emulator:cortex-a53", "emulator:cortex-a72", "emulator:a64fx")
"""Kernels for dot products scale the last layer's sums in another order, which shows in the last bit of a float."""
BACKENDS = {"executorch": ".pte", "litert": ".tflite"}


@pytest.fixture(autouse=True, scope="module")
def emulation() -> None:
    require_programs(qemu_aarch64="qemu-user", cmake="cmake", make="make")
    require_programs(**{"aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu"})


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A small convolutional net in float and int8 for both backends, each with its manifest."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(), nn.Flatten()]
    source = noisy_source(nn.Sequential(*layers, nn.Linear(784, 5)), (1, 3, 16, 16))
    made = ashore.convert(source, precisions=["fp32", "int8"], output=tmp_path_factory.mktemp("converted"))
    return [artifact.file for artifact in made]


def test_verify_compares_several_targets_with_pytorch_and_with_the_conversion(
    converted: list[Path], command: Command
) -> None:
    places = ["host", *(f"emulator:{cpu}" for cpu in CPUS)]
    words = [word for place in places for word in ("--target", place)]
    done = command("verify", *converted, *words, "--json")

    assert done.code == 0, done.err
    found = done.document["verifications"]
    expected = [(place, str(file)) for place in places for file in converted]
    assert [(each["target"], each["path"]) for each in found] == expected
    assert all(each["passed"] for each in found)
    for each in found:
        if each["target"] == "host" or (".int8." in each["path"] and each["target"] in INTEGERS_ALONE):
            assert each["identical"], each
    table = command("verify", *converted, *words).out
    assert table.count("bit-identical") == sum(each["identical"] for each in found)
    assert table.count("differs by up to ") == sum(not each["identical"] for each in found)
    for each in found:
        assert (each["largest_change"] == 0) == each["identical"]
        assert each["largest_change"] < 0.01


@pytest.fixture(params=BACKENDS)
def session(request: pytest.FixtureRequest, tiny_files: Path) -> Iterator[Session]:
    file = tiny_files / f"turn{BACKENDS[request.param]}"
    with ashore.open_session(file, target="emulator:cortex-a72", timeout_s=30.0) as opened:
        yield opened


def test_a_model_runs_on_the_cpu_that_was_asked_for(session: Session) -> None:
    assert session.pid is not None
    words = psutil.Process(session.pid).cmdline()
    assert words[words.index("-cpu") + 1] == "cortex-a72"
    x = np.array([[-128, -1, 0], [1, 2, 127]], np.int8)
    (result,) = session.run({session.inputs[0].name: x}).values()
    np.testing.assert_array_equal(result, x.T)


@pytest.mark.parametrize("backend", BACKENDS)
def test_several_threads_give_the_same_answers(converted: list[Path], backend: str) -> None:
    file = next(path for path in converted if path.suffix == BACKENDS[backend] and "int8" in path.name)
    given = {"input": np.random.default_rng(0).standard_normal((1, 3, 16, 16), dtype=np.float32)}
    results = []
    for threads in (1, 2):
        with ashore.open_session(file, target="emulator:cortex-a76", threads=threads) as session:
            results.append(next(iter(session.run({session.inputs[0].name: given["input"]}).values())))
    np.testing.assert_array_equal(*results)


def test_a_cpu_that_qemu_does_not_know_is_the_targets_trouble(
    tiny_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "next.toml").write_text('kind = "emulator"\ncpu = "cortex-z99"\n')
    monkeypatch.setenv("ASHORE_TARGETS", str(tmp_path))
    with pytest.raises(TargetUnavailable) as caught:
        ashore.open_session(tiny_files / "turn.tflite", target="emulator:next")
    assert "unable to find CPU model 'cortex-z99'" in caught.value.message
    assert "qemu-aarch64 does not run CPU cortex-z99" in caught.value.message
    assert "qemu-aarch64 -cpu help" in caught.value.hint


GUEST = "qemu: uncaught target signal 11 (Segmentation fault) - core dumped"


@pytest.mark.parametrize(
    ("script", "message", "hint"),
    [
        (
            f"echo 'at address 7' >&2; echo '{GUEST}' >&2; kill -SEGV $$",
            "the engine's process on emulator:cortex-a76 was killed by SIGSEGV while loading turn.tflite with litert\n"
            "at address 7",
            "damaged",
        ),
        (
            "echo 'qemu: uncaught target signal 4 (Illegal instruction) - core dumped' >&2; kill -ILL $$",
            "the engine's process on emulator:cortex-a76 was killed by SIGILL while loading turn.tflite with litert",
            "instruction that this CPU does not have",
        ),
        (
            "kill -SEGV $$",
            "qemu-aarch64 itself was killed by SIGSEGV while loading turn.tflite with litert",
            "not the model's trouble",
        ),
    ],
    ids=["the model crashed", "an instruction is missing", "qemu crashed"],
)
def test_a_crash_of_the_emulated_program_is_told_from_one_of_the_emulator(
    tiny_files: Path, script: str, message: str, hint: str
) -> None:
    target = registry.get_target("emulator:cortex-a76")
    greeting = '{"runner": "native", "engine": "litert", "engine_version": "2"}'
    length = "".join(f"\\{byte:03o}" for byte in len(greeting).to_bytes(4, "little"))
    words = f"printf '{length}Z%s' '{greeting}'; dd bs=1 count=5 status=none >/dev/null; {script}"
    launch = Launch(("sh", "-c", words), explain=target.launch("litert", 1).explain)  # type: ignore[attr-defined]
    with pytest.raises(EngineCrashed) as caught:
        RunnerSession(Artifact(tiny_files / "turn.tflite", "litert"), launch)
    assert caught.value.message == message
    assert hint in caught.value.hint


def test_a_damaged_file_is_refused_by_the_emulated_engine(tiny_files: Path, tmp_path: Path) -> None:
    for suffix in BACKENDS.values():
        content = (tiny_files / f"affine{suffix}").read_bytes()
        file = tmp_path / f"half{suffix}"
        file.write_bytes(content[: len(content) // 2])
        with pytest.raises(ExecutionError, match=f"loading half{suffix} with"):
            ashore.open_session(file, target="emulator:cortex-a76", timeout_s=60.0)
    assert not [child for child in psutil.Process().children() if "-cpu" in child.cmdline()]
