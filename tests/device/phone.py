"""A phone: a folder for its files, a name, programs, and a port on loopback where adb finds it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from device.faults import Faults
from device.shell import ShellService
from device.sync import SyncService
from device.wire import Connection, Gone, Stream

STORE = "/data/local/tmp"
"""The one folder of an Android phone where adb may write and execute."""
_FEATURES = "shell_v2,cmd,stat_v2,ls_v2"
_LOADER = "./ld-linux-aarch64.so.1"
_TOYBOX = (
    "cat chmod df du echo find grep kill ls mkdir mv nproc pgrep pkill ps rm sed sha256sum sleep stat touch uname wc"
)
_CPUINFO = "processor\t: {}\nFeatures\t: fp asimd asimddp\nCPU implementer\t: 0x41\nCPU part\t: {}\n\n"
_PROPERTIES = {
    "ro.product.manufacturer": "Ashore",
    "ro.product.model": "Testphone",
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.product.cpu.abilist": "arm64-v8a,armeabi-v7a",
    "ro.build.version.release": "14",
    "ro.build.version.sdk": "34",
    "ro.soc.manufacturer": "Imagined",
    "ro.soc.model": "IM8000",
}


class Phone:
    """Switched on by ``boot`` and off by ``die``; ``faults`` are what it does wrong."""

    def __init__(
        self, root: Path, properties: Mapping[str, str] = MappingProxyType({}), features: str = _FEATURES
    ) -> None:
        self.root = root
        self.faults = Faults()
        self.properties = {**_PROPERTIES, **properties}
        self.features = features
        self.commands: list[str] = []
        self.pushed: list[str] = []
        self._port = 0
        self._listener: socket.socket | None = None
        self._connections: list[Connection] = []
        self._shells: list[ShellService] = []
        self._make_files()
        self.boot()

    @property
    def serial(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def store(self) -> Path:
        """Where what is in ``/data/local/tmp`` really is."""
        return self.host_path(STORE)

    def host_path(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def boot(self) -> None:
        """Listen, on the same port as before."""
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def recover(self) -> None:
        """On, and without faults."""
        self.faults.clear()
        if self._listener is None:
            self.boot()

    def die(self) -> None:
        """Power off: every process ends, every connection breaks, nobody listens any more."""
        if self._listener is not None:
            # Closing alone would not wake the thread that accepts.
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.drop()
        for shell in self._shells:
            shell.kill()

    def drop(self) -> None:
        """Break every connection; the phone stays on."""
        for connection in list(self._connections):
            connection.drop()

    def signal_runners(self, number: signal.Signals) -> int:
        """Send a signal to every runner; how many there are."""
        running = [shell.process.pid for shell in self._running() if shell.runs_model]
        for pid in running:
            os.kill(pid, number)
        return len(running)

    @property
    def pids(self) -> list[int]:
        """Commands that have not ended."""
        return [shell.process.pid for shell in self._running()]

    def _running(self) -> list[ShellService]:
        return [shell for shell in self._shells if shell.process.poll() is None]

    def _make_files(self) -> None:
        self.store.mkdir(parents=True, exist_ok=True)
        (self.root / "proc").mkdir(exist_ok=True)
        (self.root / "proc/meminfo").write_text("MemTotal:        7812500 kB\nMemFree:          812500 kB\n")
        parts = ["0xd05"] * 6 + ["0xd0b"] * 2
        cpuinfo = "".join(_CPUINFO.format(index, part) for index, part in enumerate(parts))
        (self.root / "proc/cpuinfo").write_text(cpuinfo)
        programs = self.root / "system/bin"
        programs.mkdir(parents=True, exist_ok=True)
        toybox = shutil.which("toybox")
        for name in _TOYBOX.split():
            found = toybox or shutil.which(name)
            if found:
                (programs / name).symlink_to(found)
        cases = "".join(f"{name}) echo '{value}';;\n" for name, value in self.properties.items())
        (programs / "getprop").write_text(f'#!/bin/sh\ncase "$1" in\n{cases}*) echo;;\nesac\n')
        (programs / "getprop").chmod(0o755)

    def _accept(self, listener: socket.socket) -> None:
        model = self.properties["ro.product.model"]
        banner = (
            f"device::ro.product.name=test;ro.product.model={model};ro.product.device=test;features={self.features}"
        )
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(sock, banner.encode(), lambda: not self.faults.unauthorized, self._serve)
            self._connections.append(connection)
            threading.Thread(target=self._attend, args=(connection,), daemon=True).start()

    def _attend(self, connection: Connection) -> None:
        connection.serve()
        self._connections.remove(connection)

    def _serve(self, stream: Stream, service: str) -> None:
        kind, _, argument = service.partition(":")
        if kind == "sync":
            SyncService(stream, self._pushed_path, self.faults, self.drop).serve()
        elif kind.split(",")[0] == "shell" and "v2" in kind:
            self._serve_shell(stream, argument)
        else:
            raise Gone  # adbd closes the stream of a service it does not know

    def _pushed_path(self, path: str) -> Path:
        self.pushed.append(path)
        return self.host_path(path)

    def _serve_shell(self, stream: Stream, command: str) -> None:
        self.commands.append(command)
        shell = ShellService(stream, list(self._words(command)), self._environment(), self.faults, _LOADER in command)
        self._shells.append(shell)
        shell.serve()

    def _words(self, command: str) -> Iterator[str]:
        """The command as this machine runs it: paths lead into the phone's folder, arm64 programs go through qemu."""
        if self.faults.hang_shell or (self.faults.hang_runner and _LOADER in command):
            command = f"exec sleep 1000 # {_LOADER if _LOADER in command else ''}"
        for path in (STORE, "/proc/meminfo", "/proc/cpuinfo"):
            command = command.replace(path, str(self.host_path(path)))
        for program in self.faults.without:
            command = f"{program}() {{ echo '{program}: inaccessible or not found' >&2; return 127; }}\n{command}"
        emulated = f"qemu-aarch64 -cpu cortex-a76 -L {self.root} {_LOADER}"
        if "arm64-v8a" not in self.properties["ro.product.cpu.abilist"]:
            emulated = "cannot_execute_arm64"
        yield from (shutil.which("mksh") or "/bin/sh", "-c", command.replace(_LOADER, emulated))

    def _environment(self) -> dict[str, str]:
        qemu = shutil.which("qemu-aarch64")
        if qemu is not None and not (self.root / "system/bin/qemu-aarch64").exists():
            (self.root / "system/bin/qemu-aarch64").symlink_to(qemu)
        return {"PATH": str(self.root / "system/bin"), "HOME": "/", "ANDROID_DATA": "/data", "LANG": "C.UTF-8"}
