"""The ``ashore`` command. Heavy imports stay inside the commands, so that ``--help`` answers at once."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from ashore import __version__
from ashore.cli.commands import convert, doctor, inspect, run, targets, verify
from ashore.cli.diagnose_command import diagnose
from ashore.cli.failures import Terminated, report_failure
from ashore.cli.profile_commands import compare, history, profile
from ashore.cli.report_command import report
from ashore.cli.terminal import Terminal


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}, invoke_without_command=True
)
@click.version_option(__version__, prog_name="ashore")
@click.pass_context
def cli(context: click.Context) -> None:
    """Bring compressed PyTorch models ashore: verified ExecuTorch and LiteRT files."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (convert, verify, diagnose, run, profile, compare, history, report, inspect, targets, doctor):
    cli.add_command(command)


def main() -> None:
    """The console script: runs a command, and turns what it raises into a message and an exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    terminal = Terminal()
    try:
        code = cli.main(prog_name="ashore", standalone_mode=False, obj=terminal) or 0
    except BaseException as error:  # noqa: BLE001 — the last place before the user; nothing may pass unexplained
        code = report_failure(error, terminal)
    sys.exit(code)


def _terminate(number: int, frame: FrameType | None) -> None:
    """Signals that end the program unwind it first: staged files are removed, child processes ended."""
    del frame
    raise Terminated(number)
