"""``ashore report``: profiles in, files for people out."""

from __future__ import annotations

from pathlib import Path

import click

from ashore.cli.options import common
from ashore.cli.terminal import Terminal


@click.command(short_help="Show profiles as a page, a table or a trace.")
@click.argument("profiles", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PROFILE.json...")
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Ends in .html, .md, .csv or .trace.json (for Perfetto); may be given again.",
)
@common
def report(terminal: Terminal, profiles: tuple[Path, ...], outputs: tuple[Path, ...]) -> None:
    """Show all results of PROFILE.json... side by side: size, accuracy, latency, memory, operators, instructions."""
    from ashore.report import report as write_report

    for output in outputs:
        write_report(profiles, output)
    if terminal.json:
        terminal.show_json({"written": [str(output) for output in outputs]})
    else:
        terminal.show_text("\n".join(str(output) for output in outputs))
