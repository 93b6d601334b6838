"""Count what an emulated CPU executes for one inference, by class of instruction."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ashore.errors import AshoreError, ExecutionError, TargetUnavailable, UsageError
from ashore.types.artifact import Artifact
from ashore.types.profile import InstructionCounts
from ashore.types.tensor import Sample
from ashore_runtimes.emulation.plugin_build import plugin_build
from ashore_runtimes.runner.launch import Ending, Launch
from ashore_runtimes.session.session import MAX_REPEATS, RunnerSession

_VERSION = re.compile(r"(?<=version )\d+\.\d+[\d.]*")
_NO_PLUGIN = "it needs QEMU 4.2 or newer, built with plugins, as Debian's qemu-user is"


def count_instructions(artifact: Artifact, inputs: Sample, launch: Launch, *, runs: int) -> InstructionCounts:
    """Run ``artifact`` under qemu with a plugin that counts between two marks in the runner's engines.

    Args:
        inputs: as ``Session.run`` takes them.
        launch: start of the arm64 runner at one thread, with qemu as its first word.
        runs: how many inferences are counted, each by itself.

    Raises:
        UsageError: ``runs`` is less than 1.
        TargetUnavailable: the plugin cannot be built, or this qemu does not take it.
        ExecutionError: the model could not be run, or its counts did not arrive.
    """
    if not 1 <= runs <= MAX_REPEATS:
        raise UsageError(f"{runs} counted runs were asked for", f"1 to {MAX_REPEATS} are allowed")
    with tempfile.TemporaryDirectory(prefix="ashore-count-") as folder:
        counts_file = Path(folder, "counts")
        counts_file.touch()
        with RunnerSession(artifact, _counted(launch, counts_file)) as session:
            session.run(inputs)
            session.repeat(runs)
        counted = [_read(line) for line in counts_file.read_text().splitlines()]
    if len(counted) != 1 + runs:
        raise ExecutionError(
            f"qemu told the instructions of {len(counted)} runs, not of {1 + runs}",
            "is the folder for temporary files full? TMPDIR chooses another",
        )
    # The first run allocates what later ones find: for MobileNetV2 4 % more instructions in float32, 9 % in int8.
    return _summarise(counted[1:], f"plugin in qemu-aarch64 {_version(launch.argv[0])}")


def plugin_words(qemu: str, counts_file: Path) -> tuple[str, str]:
    """What makes ``qemu`` append a line of counts to ``counts_file``, which exists, for each marked stretch.

    Raises:
        TargetUnavailable: the plugin cannot be built.
    """
    plugin = plugin_build(_interface(_version(qemu)))
    # In qemu's options a comma stands between two of them, unless it is written twice.
    words = (f"{key}={path}".replace(",", ",,") for key, path in (("file", plugin), ("out", counts_file)))
    return "-plugin", ",".join(words)


def _version(qemu: str) -> str:
    asked = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=False, timeout=60)
    if found := _VERSION.search(asked.stdout):
        return found[0]
    raise TargetUnavailable(f"{qemu} --version names no version, but says: {asked.stdout or asked.stderr}", _NO_PLUGIN)


def _interface(version: str) -> int:
    """Number of the plugin interface that this version takes; 3 stands for all later ones."""
    release = tuple(map(int, version.split(".")[:2]))
    return 1 if release < (9, 0) else 2 if release < (9, 1) else 3


def _counted(launch: Launch, counts_file: Path) -> Launch:
    qemu, *rest = launch.argv

    def explain(ending: Ending) -> AshoreError:
        if ending.greeted:
            return launch.explain(ending)
        # In one line: it becomes the reason for a metric that is missing.
        words = "; ".join(ending.words.split("\n")) or "it does not say why"
        return TargetUnavailable(f"{qemu} does not start with ashore's instruction counter: {words}", _NO_PLUGIN)

    return replace(launch, argv=(qemu, *plugin_words(qemu, counts_file), *rest), explain=explain)


def _read(line: str) -> dict[str, int]:
    return {str(name): int(count) for name, count in json.loads(line).items()}


def _summarise(counted: Sequence[Mapping[str, int]], method: str) -> InstructionCounts:
    """The classes are those of the median run itself, so that they add up to ``per_run``."""
    totals = [sum(by_class.values()) for by_class in counted]
    per_run = statistics.median_low(totals)
    return InstructionCounts(per_run, counted[totals.index(per_run)], tuple(totals), method)
