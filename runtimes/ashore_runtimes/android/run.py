"""How the runner starts on a device, and what its ends mean there."""

from __future__ import annotations

import secrets
import shlex
import signal
from contextlib import suppress
from dataclasses import dataclass

from ashore.errors import AshoreError, DeviceTimeout, EngineCrashed, TargetUnavailable
from ashore_runtimes.android.client import Device
from ashore_runtimes.android.facts import ARM64, read_facts
from ashore_runtimes.android.states import state_in, unreachable
from ashore_runtimes.runner.launch import CRASH_ADVICE, Ending, Launch, signal_name

_RUNNER = "./ld-linux-aarch64.so.1 --library-path . ./ashore-runner"
START_LIMIT_S = 60.0
"""For the runner to come up on a slow device whose flash memory is cold."""
_KILL_LIMIT_S = 5.0
_SIGNALLED = 128
"""Added by the device's shell to the number of the signal that killed a program."""
_CANNOT_START = (126, 127)
_HUNG_HINT = "raise timeout_s (--timeout) if it only needs more time; restart the device if it answers nothing at all"
_START_HINT = "try once more, when the device has the files in memory; restart it if it answers nothing at all"
_DEVICE_ADVICE = {
    signal.SIGKILL: "Android ends programs when memory runs short: close apps, or take a smaller model",
    signal.SIGILL: "the device's CPU lacks an instruction that the engine uses: it may be older than ARMv8-A expects",
}


def remote_launch(device: Device, folder: str, engine: str, threads: int) -> Launch:
    """Starts the runner that lies in ``folder`` of the device."""
    run = RemoteRun(device, secrets.token_hex(8))
    return Launch(
        device.words(run.script(folder, engine, threads)),
        shared=False,
        explain=run.explain,
        start_limit_s=START_LIMIT_S,
        after=run.after,
    )


@dataclass(frozen=True)
class RemoteRun:
    """One runner on a device. ``mark`` is a word in its environment, by which it is found when adb cannot end it."""

    device: Device
    mark: str

    def script(self, folder: str, engine: str, threads: int) -> str:
        # What Android preloads into programs was made for its own C library. The shell becomes the runner, so that
        # adb's hang-up reaches it.
        variables = f"unset LD_PRELOAD LD_LIBRARY_PATH; export ASHORE_RUN={self.mark}"
        return (
            f"cd {shlex.quote(folder)} && {{ {variables}; exec {_RUNNER} {shlex.quote(engine)} --threads {threads}; }}"
        )

    def explain(self, ending: Ending) -> AshoreError:
        """The error of a runner that ended, or of a connection that did: adb's exit code is not always the runner's."""
        code, serial = ending.returncode, self.device.serial
        if code is None:
            return DeviceTimeout(
                f"{ending.doing} on {serial} took longer than the limit of {ending.limit_s:g} s and was ended",
                _HUNG_HINT if ending.greeted else _START_HINT,
            )
        if state := state_in(ending.words):
            return unreachable(serial, state, ending.doing) or self.device.lost(ending.doing)
        if code <= 0:  # the runner ends like this only when it is told to; adb, when the connection breaks
            return self.device.lost(ending.doing)
        if ending.greeted:
            return EngineCrashed(
                f"the engine's process on {serial} {_end(code)} while {ending.doing}{ending.tail}", _advice(code)
            )
        return _no_start(self.device, code, ending)

    def after(self, returncode: int) -> None:
        """End what adb's own end may have left running: a stopped program, say, hears no hang-up."""
        if returncode >= 0:
            return  # adb saw it end
        script = (
            f"for e in $(grep -ls {self.mark} /proc/[0-9]*/environ); do p=${{e%/environ}}; kill -9 ${{p#/proc/}}; done"
        )
        with suppress(AshoreError):  # a device that is gone runs nothing for long: it hangs up by itself
            self.device.ask(script, "ending a runner", _KILL_LIMIT_S)


def _end(code: int) -> str:
    return f"was killed by {signal_name(code - _SIGNALLED)}" if code > _SIGNALLED else f"ended with exit code {code}"


def _advice(code: int) -> str:
    return _DEVICE_ADVICE.get(signal.Signals(code - _SIGNALLED), CRASH_ADVICE) if code > _SIGNALLED else CRASH_ADVICE


def _no_start(device: Device, code: int, ending: Ending) -> TargetUnavailable:
    """The loader or the libraries did not come up: no model was at fault."""
    if code in _CANNOT_START and (abi := _foreign_abi(device)):
        return TargetUnavailable(
            f"{device.serial} runs {abi} programs, and the runner is made for {ARM64}", "take a device of that kind"
        )
    what = "cannot be executed" if code in _CANNOT_START else _end(code)
    return TargetUnavailable(
        f"the runner on {device.serial} {what} while {ending.doing}{ending.tail}",
        f"push it anew after ashore targets --clean adb:{device.serial}; a device that forbids programs in "
        "/data/local/tmp cannot be used",
    )


def _foreign_abi(device: Device) -> str | None:
    with suppress(AshoreError):
        abi = read_facts(device).abi
        return abi if abi != ARM64 else None
    return None
