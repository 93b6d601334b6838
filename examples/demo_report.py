"""The demo's last step: what its files cost here and on an emulated arm64 CPU, as one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ashore import Artifact, TargetUnavailable, profile
from ashore.profiling.profiles import save_profile
from ashore.registry import get_target
from ashore.report import report

HOST_THREADS = (1, 2)
EMULATOR = "emulator:cortex-a76"
"""A core of phones since 2019 that has int8 dot products. Emulated, it has no time of its own, so its work is counted
in instructions, which repeat only at one thread."""


def write_report(artifacts: Sequence[Artifact], folder: Path, progress: Callable[[str], None]) -> Path:
    """Profile ``artifacts`` into ``folder``: ``profile.*.json``, and ``report.html`` about all of them.

    Where the emulator is not ready, ``progress`` is told why, and the page is about this machine alone.
    """
    saved = [folder / "profile.host.json"]
    save_profile(profile(artifacts, threads=HOST_THREADS, ops=True, progress=progress), saved[0])
    if (problem := _problem(EMULATOR)) is None:
        saved.append(folder / "profile.emulator.json")
        save_profile(profile(artifacts, targets=[EMULATOR], progress=progress), saved[1])
    else:
        progress(f"{EMULATOR} is left out: {problem}")
    page = folder / "report.html"
    report(saved, page)
    return page


def _problem(target: str) -> str | None:
    try:
        return get_target(target).describe().problem
    except TargetUnavailable as error:
        return error.message
