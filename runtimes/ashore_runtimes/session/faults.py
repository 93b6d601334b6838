"""The one place where a runner's code words become ashore's errors."""

from __future__ import annotations

from ashore.errors import AshoreError, ChecksumMismatch, EngineCrashed, ExecutionError, InputMismatch, TargetUnavailable
from ashore_runtimes.session.answers import Failure
from ashore_runtimes.wire.frames import Fault

_ENGINES_OWN = "this is the engine's own message; the file may be damaged, or made for another version of it"

_ERRORS: dict[str, tuple[type[AshoreError], str]] = {
    Fault.CHECKSUM_MISMATCH: (
        ChecksumMismatch,
        "it was altered, cut short or swapped since it was checked: restore it, or convert the model again",
    ),
    Fault.INVALID_MODEL: (ExecutionError, _ENGINES_OWN),
    Fault.UNSUPPORTED: (ExecutionError, "ashore doctor shows what other runners need"),
    Fault.INVALID_INPUT: (
        InputMismatch,
        "the engine itself refuses these inputs; the session's own checks let them pass",
    ),
    Fault.ENGINE_FAILED: (ExecutionError, _ENGINES_OWN),
    Fault.IMPORT_ERROR: (TargetUnavailable, "the library is installed but cannot be loaded: reinstall it"),
    Fault.PROTOCOL_ERROR: (EngineCrashed, "runner and ashore do not understand each other: this is a defect of ashore"),
}
_MOST_WORDS = 2000
_UNKNOWN = (ExecutionError, "the runner is of another version than this ashore")


def reported_error(failure: Failure, doing: str, tail: str) -> AshoreError:
    """The error of a runner that says it failed while ``doing``; ``tail`` is what it printed meanwhile."""
    error, hint = _ERRORS.get(failure.fault, _UNKNOWN)
    return error(f"{doing} failed: {_shortened(failure.message or failure.fault)}{tail}", hint)


def _shortened(message: str) -> str:
    """An engine may have a line to say of every operator of a damaged file; the first ones tell why."""
    if len(message) <= _MOST_WORDS:
        return message
    return f"{message[:_MOST_WORDS].rstrip()} … ({len(message) - _MOST_WORDS} more characters)"
