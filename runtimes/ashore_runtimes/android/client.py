"""The one place that runs the ``adb`` program, with time limits; its complaints become ashore's errors."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ashore.errors import DeviceTimeout, TargetError, TargetUnavailable, TransferFailed
from ashore_runtimes.android.states import MISSING, OFFLINE, PASSING, Line, read_list, state_in, unreachable

COMMAND_LIMIT_S = 20.0
"""For what a healthy device does in milliseconds, and for adb's server to start."""
PUSH_LIMIT_S = 30.0
"""Of any push, however small."""
PUSH_BYTES_PER_S = 1e6
"""The slowest connection worth waiting for; poor Wi-Fi moves three times as much."""
CONNECT_LIMIT_S = 10.0
SETTLE_S = 2.0
"""How long a device may take to come back after its connection broke."""
_STATUS = "ashore-status:"
_BROKEN = (
    "couldn't read from device",
    "failed to read copy response",
    "onnection reset",
    "error: closed",
    "roken pipe",
)
"""What adb says of a push whose connection ended; everything else is said by a file system, there or here."""
_VANISHED_HINT = (
    "it was unplugged or switched off, or something restarted adb's server: see adb devices -l, then try again"
)
_BROKEN_HINT = "check the cable or the network, and that nothing restarts adb's server; then run this again"


@dataclass(frozen=True)
class _Done:
    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """The complaint in all that was printed, in one line."""
        lines = [line.strip() for line in (self.err + self.out).splitlines()]
        return "; ".join(line for line in lines if line.startswith(("adb:", "error:")) or "failed" in line)


def program() -> str:
    """The path of adb. Raises TargetUnavailable where there is none."""
    found = shutil.which("adb")
    if found is None:
        raise TargetUnavailable(
            "phones are reached through adb, which is not on the PATH",
            "apt-get install adb, or put Android's platform-tools on the PATH",
        )
    return found


def list_devices() -> tuple[Line, ...]:
    """Every device that adb knows, in whatever state. Starts adb's server where none is running.

    Raises:
        TargetUnavailable: there is no adb, or its server does not work.
        DeviceTimeout: the server does not answer.
    """
    done = _run(("devices", "-l"), "looking for devices", COMMAND_LIMIT_S)
    if done.code != 0:
        raise _server_trouble(done)
    return tuple(read_list(done.out))


class Device:
    """What can be asked of one device. Failures name it and what was being done (``doing``, as in "pushing x.pte")."""

    def __init__(self, serial: str) -> None:
        self.serial = serial

    def words(self, script: str) -> tuple[str, ...]:
        """The command that runs ``script`` there, its three streams here and its exit code as its own."""
        return (program(), "-s", self.serial, "shell", "-T", script)

    def state(self) -> str:
        """``adb_states.READY`` where all is well."""
        return next((line.state for line in list_devices() if line.serial == self.serial), MISSING)

    def wait(self, *, reach: bool = False) -> None:
        """Until the device is ready, should it be about to be.

        Args:
            reach: have adb connect anew to a device on the network (``host:port``) that it has lost or forgotten.

        Raises:
            TargetUnavailable: it is not ready, and will not be by itself; the hint is the remedy.
        """
        state = self._settled()
        if reach and self._on_network() and state in (MISSING, OFFLINE):
            self._reach()
            state = self._settled() if self.state() != MISSING else state
        if error := unreachable(self.serial, state):
            raise error

    def _settled(self) -> str:
        """The state, when it is no more one that passes, or has not passed for ``SETTLE_S``."""
        deadline_s = time.monotonic() + SETTLE_S
        while (state := self.state()) in PASSING and time.monotonic() < deadline_s:
            time.sleep(0.1)
        return state

    def _reach(self) -> None:
        """adb tries again by itself, but once in ten seconds, and takes no order to while it still hopes."""
        for word in ("disconnect", "connect"):
            _run((word, self.serial), f"connecting to {self.serial}", CONNECT_LIMIT_S)

    def ask(self, script: str, doing: str, limit_s: float | None = None) -> tuple[int, str]:
        """Run ``script`` in the device's shell; its exit code and what it printed on either stream.

        Raises:
            DeviceTimeout: no answer within the limit (``COMMAND_LIMIT_S`` if None); the script was told to end.
            TargetUnavailable: the device is gone, or does not let us in; TransferFailed where the connection broke.
        """
        # adb's own exit code is 0 when the connection breaks under it. This line proves that the script ran to its end.
        proven = f"(\n{script}\n) 2>&1\nstatus=$?; echo; echo {_STATUS}$status"
        limit_s = COMMAND_LIMIT_S if limit_s is None else limit_s
        done = _run(("-s", self.serial, "shell", "-T", proven), f"{doing} on {self.serial}", limit_s)
        output, _, status = done.out.rpartition(f"\n{_STATUS}")
        if not status.strip().isdigit():
            raise self._shell_trouble(done, doing)
        return int(status), output

    def push(self, files: Sequence[Path], remote: str, doing: str) -> None:
        """Copy files into the folder ``remote``, which is there; or one file to the path ``remote``, which is not.

        Raises:
            TransferFailed: the device is full or refuses, or the connection broke.
            DeviceTimeout: it took longer than any working connection needs.
            TargetUnavailable: the device was not there to begin with.
        """
        size_bytes = sum(file.stat().st_size for file in files)
        limit_s = PUSH_LIMIT_S + size_bytes / PUSH_BYTES_PER_S
        done = _run(("-s", self.serial, "push", *map(str, files), remote), f"{doing} to {self.serial}", limit_s)
        if done.code != 0:
            raise self._push_trouble(done, doing)

    def lost(self, doing: str) -> TargetError:
        """The error for a connection that ended while it was used."""
        state = self.state()
        if state == MISSING:
            return TargetUnavailable(f"{self.serial} vanished while {doing}", _VANISHED_HINT)
        return unreachable(self.serial, state, doing) or TransferFailed(
            f"the connection to {self.serial} broke off while {doing}", _BROKEN_HINT
        )

    def refusal(self, complaint: str, doing: str) -> TransferFailed:
        """The error for what the device's own file system would not do."""
        if "No space left" in complaint:
            return TransferFailed(
                f"{doing} failed: no space is left on {self.serial}",
                f"make room there; ashore targets --clean adb:{self.serial} removes what ashore put on it",
            )
        return TransferFailed(f"{doing} failed on {self.serial}: {complaint}", "this is adb's own message")

    def _on_network(self) -> bool:
        host, _, port = self.serial.rpartition(":")
        return bool(host) and port.isdigit()

    def _shell_trouble(self, done: _Done, doing: str) -> TargetError:
        if "cannot connect to daemon" in done.err:
            return _server_trouble(done)
        if "only supports allocating a pty" in done.err:
            return TargetUnavailable(
                f"{self.serial} runs an Android older than 7, whose shell tells no exit codes", "take a newer device"
            )
        state = state_in(done.err)
        return (unreachable(self.serial, state, doing) if state else None) or self.lost(doing)

    def _push_trouble(self, done: _Done, doing: str) -> TargetError:
        if state := state_in(done.said):
            return unreachable(self.serial, state, doing) or self.lost(doing)
        if any(words in done.said for words in _BROKEN):
            return TransferFailed(f"the connection to {self.serial} broke off while {doing}", _BROKEN_HINT)
        return self.refusal(done.said or f"exit code {done.code}", doing)


def _server_trouble(done: _Done) -> TargetUnavailable:
    return TargetUnavailable(
        f"adb's server does not work: {done.said or f'exit code {done.code}'}", "run: adb kill-server, then adb devices"
    )


def _run(words: tuple[str, ...], doing: str, limit_s: float) -> _Done:
    """A session of its own keeps the terminal's Ctrl-C from adb's server, should this call be what starts it."""
    try:
        done = subprocess.run(
            [program(), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceTimeout(
            f"{doing} took longer than the limit of {limit_s:g} s and was given up",
            "see whether the device is awake and answers to adb shell; if it does not, restart it",
        ) from error
    return _Done(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))
