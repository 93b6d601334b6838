"""Model files for tests of what runs them, and phones for them to run on."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from device import AdbServer, Phone
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
    yield left, right
    for each in (left, right):
        each.die()


@pytest.fixture
def phone(phones: tuple[Phone, Phone], adb_server: AdbServer) -> Iterator[Phone]:
    """One of them. It is in order before every test, and must have nothing left to do after each."""
    yield phones[0]
    deadline_s = time.monotonic() + 30
    while phones[0].pids and time.monotonic() < deadline_s:
        time.sleep(0.05)
    left_over = phones[0].pids
    phones[0].recover()
    adb_server.connect(phones[0])
    assert not left_over
