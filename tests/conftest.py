"""What many tests share: the ``ashore`` command, in this process and outside of it, and fake plug-ins."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands import Command, Outcome
from device import AdbServer

# A shell starts background jobs with SIGINT ignored, and children inherit that: the tests of Ctrl-C need it back.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbServer]:
    """No test reaches the phones, the keys or the adb server of whoever runs the tests."""
    server = AdbServer(tmp_path_factory.mktemp("adb-home"))
    os.environ.update(server.environment)
    if shutil.which("adb") is not None:
        server.start()
    yield server
    server.stop()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """``command("convert", …)``: the console script's own main function, in this process."""
    from ashore.cli import main

    def call(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["ashore", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Outcome(int(ended.value.code or 0), *capfd.readouterr())

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def ashore_script() -> list[str]:
    """The words that start the command in a process of its own, as the console script does."""
    return [sys.executable, "-c", "from ashore.cli import main; main()"]


@pytest.fixture
def shell(ashore_script: list[str], tmp_path: Path) -> Command:
    """``shell("convert", …)``: the command in a process of its own, started in ``tmp_path``."""

    def call(*words: object, **options: Any) -> Outcome:
        done = subprocess.run(
            [*ashore_script, *map(str, words)], capture_output=True, text=True, cwd=tmp_path, timeout=300, **options
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Fake backends ``fake`` and ``sham`` and a fake ``host`` in place of the installed ones; yields behaviours."""
    import fakes
    from ashore import registry

    monkeypatch.setattr(registry, "_entries", fakes.entries)
    monkeypatch.setattr(fakes, "BEHAVIOURS", {"fake": fakes.Behaviour(), "sham": fakes.Behaviour()})
    return fakes.BEHAVIOURS


@pytest.fixture
def costs(fakes: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """``costs("net.fake.fp32.fake")``: what that file costs wherever it runs, for a test to change.

    What earlier profiles of the imagined machine taught is kept apart for each test.
    """
    import fake_costs

    del fakes
    monkeypatch.setenv("ASHORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fake_costs, "COSTS", {})
    return fake_costs.costs_of


@pytest.fixture
def model(costs: Any, tmp_path: Path) -> Path:
    """The fp32 file of a small net for the fake backend, whose costs are the test's to change."""
    import torch

    import ashore

    del costs
    source = ashore.ModelSource(torch.nn.Identity(), (torch.ones(1, 4),), "net")
    return ashore.convert(source, to=["fake"], output=tmp_path / "out")[0].file


@pytest.fixture
def places(fakes: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``places["emulator:a76"] = FakeTarget(…)`` adds a target beside the fake host."""
    from ashore import registry
    from fakes import FakeRuntime, entries

    del fakes
    runtime = entries("ashore.runtimes")["host"]
    more = {"host": runtime, "emulator": runtime, "adb": runtime}
    monkeypatch.setattr(registry, "_entries", lambda group: more if group == "ashore.runtimes" else entries(group))
    monkeypatch.setattr(FakeRuntime, "places", {})
    return FakeRuntime.places


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Everything that GPTQ gave, for each weight first on a part of the samples, then on all."""
    from ashore_converters import rounding
    from ashore_converters.gptq import Rounded, round_weight

    found: list[Rounded] = []

    def spied(*given: Any) -> Rounded:
        found.append(round_weight(*given))
        return found[-1]

    monkeypatch.setattr(rounding, "round_weight", spied)
    return found
