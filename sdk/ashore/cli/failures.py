"""The one place where errors become messages and exit codes."""

from __future__ import annotations

import os
import sys
import traceback

import click

from ashore.cli.terminal import Terminal
from ashore.errors import AshoreError

_INTERRUPTED = 130
_DEFECT = 1


def report_failure(error: BaseException, terminal: Terminal) -> int:
    """Tell the user what went wrong; returns the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else _DEFECT
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
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return "interrupted", "", _INTERRUPTED
    return f"{type(error).__name__}: {error}", "this is a defect of ashore; --debug shows where it happened", _DEFECT


def _debugging() -> bool:
    # Read from the words themselves: the error may have happened before the options were parsed.
    return "--debug" in sys.argv or bool(os.environ.get("ASHORE_DEBUG"))
