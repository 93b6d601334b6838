"""The one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback

import click

from ashore.cli.terminal import Terminal
from ashore.errors import AshoreError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_INTERRUPTED = 130
_DEFECT = 1


class Terminated(KeyboardInterrupt):
    """A signal asked for the end. As a kind of Ctrl-C, it is nothing a library would take for an error of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.exit_code = 128 + number


def report_failure(error: BaseException, terminal: Terminal) -> int:
    """Tell the user what went wrong; returns the exit code."""
    if isinstance(error, click.Abort) and error.__cause__ is not None:
        error = error.__cause__  # click puts its own in place of Ctrl-C
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code
    message, hint, code = _describe(error)
    if _debugging():
        traceback.print_exception(error)
    terminal.show_error(type(error).__name__, message, hint, code)
    return code


def _describe(error: BaseException) -> tuple[str, str, int]:
    if isinstance(error, AshoreError):
        return error.message, error.hint, error.exit_code
    if isinstance(error, click.ClickException):
        usage = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "ashore"
        return error.format_message(), f"see {usage} --help", 2
    if isinstance(error, Terminated):
        return str(error), "", error.exit_code
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return "interrupted", "", _INTERRUPTED
    if isinstance(error, OSError) and error.errno in _FULL:
        return str(error), "free space where the output goes", _DEFECT
    return f"{type(error).__name__}: {error}", "this is a defect of ashore; --debug shows where it happened", _DEFECT


def _debugging() -> bool:
    # Read from the words themselves: the error may have happened before the options were parsed.
    return "--debug" in sys.argv or bool(os.environ.get("ASHORE_DEBUG"))
