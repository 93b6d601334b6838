"""Speed and memory beside the bare libraries, in one run: ``make bench``, or ``make bench SECTION=runner ROUNDS=4``."""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

import compressed
import conversion
import int8_latency
import profiler_trust
import runner_costs
import session_calls
import startup
from effort import Effort
from files import Files
from rich.console import Console
from tables import Section, show, show_verdict

from ashore_runtimes.machine import cpu_model, usable_cores
from ashore_runtimes.runner.engines import engine_versions

SECTIONS: dict[str, Callable[[Files, Effort], list[Section]]] = {
    "conversion": conversion.sections,
    "session": session_calls.sections,
    "runner": runner_costs.sections,
    "profiler": profiler_trust.sections,
    "int8": int8_latency.sections,
    "compressed": compressed.sections,
    "help": startup.sections,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)}; all by default")
    parser.add_argument("--rounds", type=int, default=Effort.rounds, help="fewer are faster and less sure")
    words = parser.parse_args()
    if unknown := set(words.sections) - set(SECTIONS):
        parser.error(f"there is no section {', '.join(sorted(unknown))}; known: {', '.join(SECTIONS)}")
    if words.rounds < 1:
        parser.error(f"{words.rounds} rounds were asked for; at least 1 is needed")
    run(words.sections or list(SECTIONS), Effort(words.rounds), Console(width=150))


def run(names: list[str], effort: Effort, out: Console) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in engine_versions().items())
    out.print(f"{cpu_model()}, {usable_cores()} cores; Python {platform.python_version()}, {versions}", highlight=False)
    done: list[Section] = []
    with tempfile.TemporaryDirectory() as folder:
        files = Files(Path(folder))
        for name in names:
            out.print(
                f"\n[bold]{name}[/]: load average {os.getloadavg()[0]:.1f}, {effort.rounds} rounds", highlight=False
            )
            for section in SECTIONS[name](files, effort):
                show(section, out)
                done.append(section)
    out.print()
    show_verdict(done, out)


if __name__ == "__main__":
    main()
