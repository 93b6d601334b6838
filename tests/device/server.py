"""An adb server of the tests' own: its port, its keys, its devices; never those of whoever runs the tests."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import psutil


class AdbServer:
    """Sets the environment by which every ``adb`` of this process and its children finds it."""

    def __init__(self, home: Path) -> None:
        self.port = _free_port()
        self.environment = {"ANDROID_ADB_SERVER_PORT": str(self.port), "HOME": str(home), "ANDROID_SDK_HOME": str(home)}

    def adb(self, *words: str) -> str:
        """What ``adb WORDS`` prints."""
        done = subprocess.run(
            ["adb", *words], env=os.environ | self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout + done.stderr

    def connect(self, serial: str) -> str:
        return self.adb("connect", serial)

    def stop(self) -> None:
        if self.running():
            self.adb("kill-server")
            psutil.wait_procs(self.running(), timeout=10)

    def running(self) -> list[psutil.Process]:
        """The server's processes."""
        word = f"tcp:{self.port}"
        return [each for each in psutil.process_iter(["cmdline"]) if word in " ".join(each.info["cmdline"] or ())]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
