"""``python tests/hostile/fuzz.py``: hostile files through every door. Prints a table; ends with 1 on any violation."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hostile.campaign import Results, Task, carry_out
from hostile.commands_check import COMMANDS, check_command
from hostile.corpus import all_cases
from hostile.original import read_originals
from hostile.originals import STEMS, make_originals

_OTHERS = (
    ("host, Python", 131, "host", {"ASHORE_RUNNER": "python"}),
    ("cortex-a76", 71, "emulator:cortex-a76", {}),
)
"""Slower ways, which get every so many cases."""
_COMMAND_STEP = 499
_REFUSED = ("ArtifactError", "ChecksumMismatch", "ManifestInvalid")


def main() -> int:
    words = _parse()
    begin_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hostile-originals-") as name:
        originals = words.originals or Path(name)
        if words.originals is None:
            print("making the originals", flush=True)
            make_originals(originals, STEMS)
        tasks = _tasks(originals, words.share, words.jobs)
        print(f"{len(tasks)} workers' parts, {words.jobs} at a time", flush=True)
        with ThreadPoolExecutor(words.jobs) as pool:
            parts = list(pool.map(_carried_out, tasks))
            commands = _check_commands(originals, words.share, pool)
    results = Results(
        [attempt for part in parts for attempt in part.attempts],
        [violation for part in parts for violation in part.violations]
        + [problem for _, problem in commands if problem],
    )
    if words.log:
        words.log.write_text("".join(f"{json.dumps(attempt)}\n" for attempt in results.attempts))
    _print_results(results, Counter(code for code, _ in commands), time.monotonic() - begin_s)
    return 1 if results.violations else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--share", type=float, default=0.3, help="of each kind of damage; 1 is three times as many")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--originals", type=Path, help="a folder with those that originals.py made")
    parser.add_argument("--log", type=Path, help="a file for every attempt, as a JSON object a line")
    return parser.parse_args()


def _tasks(originals: Path, share: float, jobs: int) -> list[Task]:
    """The slow ones first, so that all end together."""
    others = [
        Task(label, originals, (0, step), share, target, "run,verify", environment)
        for label, step, target, environment in _OTHERS
    ]
    slices = 4 * jobs
    return [*others, *(Task("host, native", originals, (part, slices), share) for part in range(slices))]


def _carried_out(task: Task) -> Results:
    results = carry_out(task)
    print(f"  {task.label}: {len(results.attempts)} attempts, {len(results.violations)} violations", flush=True)
    return results


def _check_commands(originals: Path, share: float, pool: ThreadPoolExecutor) -> list[tuple[int, str | None]]:
    wholes = {original.stem: original for original in read_originals(originals)}
    sample = all_cases(list(wholes.values()), share)[::_COMMAND_STEP]
    calls = [(case, wholes[case.name.split("/")[0]], command) for case in sample for command in COMMANDS]
    return list(pool.map(lambda call: check_command(*call), calls))


def _print_results(results: Results, codes: Counter[int], took_s: float) -> None:
    kinds = sorted({attempt["kind"] for attempt in results.attempts})
    rows = [(kind, *_row([each for each in results.attempts if each["kind"] == kind])) for kind in kinds]
    columns = ("damage", "files", "attempts", "answers", "refused", "engine errors", "crashes", "at the limit", "other")
    _print_table([columns, *rows, ("all", *_row(results.attempts))])
    for label, count in results.count("label").items():
        print(f"{label}: {count} attempts")
    print("errors:", _listed(results.count("outcome")))
    print("crashes contained:", _listed(results.count("signal")) or "none")
    print("exit codes of commands:", _listed(codes))
    print("largest child:", max(attempt["child_peak_kib"] for attempt in results.attempts) // 1024, "MiB")
    print(f"hangs {sum(each['hang'] for each in results.attempts)}, leaks {results.leaks}, {took_s:.0f} s")
    print(f"violations {len(results.violations)}", *results.violations[:40], sep="\n  ")


def _row(attempts: Sequence[dict]) -> tuple[int, ...]:
    outcomes = Counter(attempt["outcome"] for attempt in attempts)
    refused = sum(outcomes.pop(word, 0) for word in _REFUSED)
    limit, crashes = sum(each["limit"] for each in attempts), outcomes.pop("EngineCrashed", 0)
    engine = outcomes.pop("ExecutionError", 0) + outcomes.pop("InputMismatch", 0) - limit
    files = len({(attempt["case"], attempt["state"]) for attempt in attempts})
    answers = outcomes.pop("answer", 0)
    return files, len(attempts), answers, refused, engine, crashes, limit, outcomes.total()


def _print_table(rows: Sequence[Sequence[object]]) -> None:
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [str(cell).rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print(str(row[0]).ljust(widths[0]), *cells, sep="  ")


def _listed(counts: Counter) -> str:
    return ", ".join(f"{word} {count}" for word, count in counts.most_common())


if __name__ == "__main__":
    sys.exit(main())
