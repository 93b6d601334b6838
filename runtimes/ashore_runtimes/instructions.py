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
from ashore_runtimes.launch import Ending, Launch
from ashore_runtimes.plugin_build import plugin_build
from ashore_runtimes.session import MAX_REPEATS, RunnerSession

_WARM_UP_RUNS = 1
"""The first run allocates what later ones find: 4 % more instructions for MobileNetV2 in float32, 9 % in int8."""
_VERSION = re.compile(r"(?<=version )(\d+)\.(\d+)[\d.]*")
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
    version = _qemu_version(launch.argv[0])
    plugin = plugin_build(_interface(version))
    with tempfile.TemporaryDirectory(prefix="ashore-count-") as folder:
        counts_file = Path(folder, "counts")
        counts_file.touch()
        with RunnerSession(artifact, _counted(launch, plugin, counts_file)) as session:
            for _ in range(_WARM_UP_RUNS):
                session.run(inputs)
            session.repeat(runs)
        counted = [_read(line) for line in counts_file.read_text().splitlines()]
    if len(counted) != _WARM_UP_RUNS + runs:
        raise ExecutionError(
            f"qemu told the instructions of {len(counted)} runs, not of {_WARM_UP_RUNS + runs}",
            "is the folder for temporary files full? TMPDIR chooses another",
        )
    return _summarise(counted[_WARM_UP_RUNS:], f"plugin in qemu-aarch64 {version[0]}, one thread")


def _qemu_version(qemu: str) -> re.Match[str]:
    asked = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=False, timeout=60)
    if found := _VERSION.search(asked.stdout):
        return found
    raise TargetUnavailable(f"{qemu} --version names no version, but says: {asked.stdout or asked.stderr}", _NO_PLUGIN)


def _interface(version: re.Match[str]) -> int:
    """Number of the plugin interface that this version takes; 3 stands for all later ones."""
    release = int(version[1]), int(version[2])
    return 1 if release < (9, 0) else 2 if release < (9, 1) else 3


def _counted(launch: Launch, plugin: Path, counts_file: Path) -> Launch:
    # In qemu's options a comma stands between two of them, unless it is written twice.
    words = (f"{key}={path}".replace(",", ",,") for key, path in (("file", plugin), ("out", counts_file)))
    qemu, *rest = launch.argv

    def explain(ending: Ending) -> AshoreError:
        if ending.greeted:
            return launch.explain(ending)
        return TargetUnavailable(f"{qemu} does not start with ashore's instruction counter{ending.tail}", _NO_PLUGIN)

    return replace(launch, argv=(qemu, "-plugin", ",".join(words), *rest), explain=explain)


def _read(line: str) -> dict[str, int]:
    return {str(name): int(count) for name, count in json.loads(line).items()}


def _summarise(counted: Sequence[Mapping[str, int]], method: str) -> InstructionCounts:
    """The classes are those of the median run itself, so that they add up to ``per_run``."""
    totals = [sum(by_class.values()) for by_class in counted]
    per_run = statistics.median_low(totals)
    return InstructionCounts(per_run, counted[totals.index(per_run)], tuple(totals), method)
