"""An adb server of the tests' own: its port, its keys, its devices; never those of whoever runs the tests."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import psutil

from device.phone import Phone


class AdbServer:
    """``environment`` is what every ``adb`` needs to find it; ``home`` is where it keeps its keys."""

    def __init__(self, home: Path) -> None:
        self.environment = {"ANDROID_ADB_SERVER_PORT": str(_free_port())}
        self.home = home

    def start(self) -> None:
        self.adb("start-server")

    def adb(self, *words: str) -> str:
        """What ``adb WORDS`` prints."""
        environment = os.environ | self.environment | {"HOME": str(self.home)}
        done = subprocess.run(["adb", *words], env=environment, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    def connect(self, phone: Phone) -> None:
        """Have the phone in adb's list, ready."""
        self.adb("disconnect", phone.serial)
        said = self.adb("connect", phone.serial)
        assert said.startswith("connected to"), said

    def stop(self) -> None:
        servers = self.running()
        if servers:
            self.adb("kill-server")
            psutil.wait_procs(servers, timeout=10)

    def running(self) -> list[psutil.Process]:
        """The server's processes."""
        word = f"tcp:{self.environment['ANDROID_ADB_SERVER_PORT']}"
        return [each for each in psutil.process_iter(["cmdline"]) if word in (each.info["cmdline"] or ())]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
