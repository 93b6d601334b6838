"""Model files for tests of what runs them, and phones for them to run on."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from device import AdbServer, Phone
from phones import eventually, use
from programs import require_programs


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what ``tiny_files.py`` makes."""
    folder = tmp_path_factory.mktemp("tiny-files")
    script = Path(__file__).with_name("tiny_files.py")
    made = subprocess.run([sys.executable, "-W", "ignore", script, folder], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A small convolutional net in int8 for both backends, each with its manifest."""
    from torch import nn

    import ashore
    from conversions import noisy_source

    model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(392, 5))
    folder = tmp_path_factory.mktemp("converted")
    made = ashore.convert(noisy_source(model, (1, 3, 16, 16)), precisions=["int8"], output=folder)
    return [artifact.file for artifact in made]


@pytest.fixture(scope="session")
def phones(adb_server: AdbServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Phone, Phone]]:
    """Two phones that adb knows."""
    require_programs(adb="adb", qemu_aarch64="qemu-user", cmake="cmake", make="make")
    require_programs(**{"aarch64_linux_gnu_g++": "g++-aarch64-linux-gnu"})
    left, right = (Phone(tmp_path_factory.mktemp("phone"), {"ro.product.model": model}) for model in ("Left", "Right"))
    for each in (left, right):
        adb_server.connect(each)
    # Under nohup, what a phone starts would inherit that SIGHUP is ignored, by which adbd ends commands.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield left, right
    signal.signal(signal.SIGHUP, before)
    for each in (left, right):
        each.die()


@pytest.fixture
def phone(phones: tuple[Phone, Phone], adb_server: AdbServer) -> Iterator[Phone]:
    """One of them. It is in order before every test, and must have nothing left to do after each."""
    yield phones[0]
    idle = eventually(lambda: not phones[0].pids)
    phones[0].recover()
    adb_server.connect(phones[0])
    assert idle


@pytest.fixture
def file(phone: Phone, tiny_files: Path) -> Path:
    """A model that the phone has yet to be given, while it has the runner."""
    use(phone, tiny_files / "turn.pte")
    shutil.rmtree(phone.store / "ashore/models")
    return tiny_files / "turn.pte"


@pytest.fixture
def nothing_left_running() -> Iterator[None]:
    """In this process; what is left on the phone, its own fixture looks at."""
    yield
    psutil.wait_procs(psutil.Process().children(recursive=True), timeout=10)
    assert not psutil.Process().children(recursive=True)


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
