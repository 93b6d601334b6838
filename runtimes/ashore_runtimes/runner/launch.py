"""How a runner is started on some target, and how its ends are explained to people."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ashore.errors import AshoreError, EngineCrashed, ExecutionError, TargetUnavailable


@dataclass(frozen=True)
class Ending:
    """A runner that ended, or had to be ended, while an answer was awaited.

    Attributes:
        doing: what it was asked for, as in "running net.tflite with litert".
        words: the end of what it printed for that request, in whole lines; often empty.
        greeted: whether it had come up before.
        returncode: of the started process, negative for a signal; None where it hung and was ended at the limit.
        limit_s: the limit it hung beyond; None where it died by itself.
    """

    doing: str
    words: str
    greeted: bool
    returncode: int | None
    limit_s: float | None = None

    @property
    def tail(self) -> str:
        """``words`` as the end of a message."""
        return f"\n{self.words}" if self.words else ""


Explain = Callable[[Ending], AshoreError]


def explain_local(ending: Ending) -> AshoreError:
    """The error of a runner that is a process of this machine: its ends are those of the model."""
    if ending.returncode is None:
        what = f"{ending.doing} took longer than the limit of {ending.limit_s:g} s"
        return ExecutionError(
            f"{what}; its process was ended", "raise timeout_s (--timeout) if it only needs more time"
        )
    what = f"the engine's process {cause_of_death(ending.returncode)} while {ending.doing}"
    if not ending.greeted:
        return TargetUnavailable(f"{what}{ending.tail}", "ashore doctor shows what this target needs")
    return EngineCrashed(f"{what}{ending.tail}", _ADVICE.get(-ending.returncode, CRASH_ADVICE))


@dataclass(frozen=True)
class Launch:
    """Everything that differs between targets, once a runner and a model are where they must be.

    Attributes:
        argv: the program and all its words but ``--shared``, which is added with the descriptors where it applies.
        shared: tensors cross in memory that both processes map; else they travel inside the frames.
        environment: variables that are set for it, besides those of this process.
        cwd: the folder it starts in; None for this process's own.
        threads: of the engine on this machine's cores; None where it runs elsewhere, or not at its own speed.
        turn: the library that takes turns with a runner for this process; None where Python does it.
        start_limit_s: longest time for the runner and its libraries to come up: seconds, but minutes on a cold disk.
        explain: makes the error that tells of its end.
        after: called once, with its return code, when the started process is gone, for what may live on elsewhere.
    """

    argv: tuple[str, ...]
    shared: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    threads: int | None = None
    turn: Path | None = None
    explain: Explain = explain_local
    start_limit_s: float = 300.0
    after: Callable[[int], None] | None = None


def cause_of_death(returncode: int) -> str:
    """``was killed by SIGSEGV`` or ``ended with exit code 3``."""
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    return f"was killed by {signal_name(-returncode)}"


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


CRASH_ADVICE = "the file is probably damaged, or was made for another version of the engine; this process is unharmed"
_ADVICE: dict[int, str] = {signal.SIGKILL: "something else ended it; where nobody did, the system ran out of memory"}
