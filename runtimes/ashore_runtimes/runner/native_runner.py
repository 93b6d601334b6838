"""Which runner this machine uses: the native one where it can be built or was built before, else the one in Python."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from ashore.errors import TargetUnavailable, UsageError
from ashore_runtimes.runner.launch import Launch
from ashore_runtimes.runner.native_build import TURN, NativeBuild, host_build
from ashore_runtimes.runner.python_runner import python_launch

SETTING = "ASHORE_RUNNER"
"""Environment variable that decides for every host target."""

Choice = Literal["auto", "native", "python"]
_log = logging.getLogger("ashore.runtimes")
_TOOLS = {"g++": "g++", "cmake": "cmake", "make": "make"}
"""Program that a build needs -> Debian's package of it."""


@dataclass(frozen=True)
class ChosenRunner:
    """``problem`` says why a runner that was asked for cannot be had; ``notes`` what to know of the one that is."""

    runner: str
    problem: str | None = None
    notes: tuple[str, ...] = ()


def read_choice(word: str, where: str) -> Choice:
    """Raises UsageError, naming ``where`` the word stands, if it is none of the choices."""
    for choice in get_args(Choice):
        if word == choice:
            found: Choice = choice
            return found
    raise UsageError(f"{where} is {word!r}", f"it must be one of {', '.join(get_args(Choice))}")


def _decided(choice: Choice) -> Choice:
    """The environment's choice goes before a target's own."""
    return read_choice(os.environ[SETTING], SETTING) if os.environ.get(SETTING) else choice


def choose_runner(choice: Choice) -> ChosenRunner:
    """What ``host_launch`` will start, as far as that is known without building anything."""
    decided = _decided(choice)
    if decided == "python":
        return ChosenRunner("python", notes=("models run through Python, as was asked for",))
    obstacle = missing_tools(_TOOLS)
    if obstacle is None:
        return ChosenRunner("native")
    if decided == "native":
        return ChosenRunner("native", problem=obstacle)
    return ChosenRunner("python", notes=(f"models run through Python until there is a native runner: {obstacle}",))


def host_launch(choice: Choice, engine: str, threads: int) -> Launch:
    """Start of the native runner, built first if need be, or of Python in its place.

    Raises:
        TargetUnavailable: the native runner was asked for, and cannot be built.
    """
    decided = _decided(choice)
    if decided == "python":
        return python_launch(engine, threads)
    try:
        return native_launch(_build(engine), engine, threads)
    except TargetUnavailable as error:
        if decided == "native":
            raise
        _log.info("models run through Python, since there is no native runner: %s", error.message)
        return python_launch(engine, threads)


def native_launch(build: NativeBuild, engine: str, threads: int) -> Launch:
    return Launch(
        (str(build.runner), engine, "--threads", str(threads)),
        environment={"LD_LIBRARY_PATH": library_path(build)},
        threads=threads,
        turn=build.folder / TURN,
    )


def library_path(build: NativeBuild) -> str:
    return os.pathsep.join(map(str, build.library_paths))


def _build(engine: str) -> NativeBuild:
    build = host_build()
    if engine not in build.engines:
        raise TargetUnavailable(f"the native runner was built without {engine}", "ashore doctor shows what it needs")
    return build


def missing_tools(tools: Mapping[str, str]) -> str | None:
    """Which of ``tools`` (program -> package) are not on the PATH, with the command that adds them."""
    missing = {tool: package for tool, package in tools.items() if shutil.which(tool) is None}
    if not missing:
        return None
    verb = "is" if len(missing) == 1 else "are"
    return f"{' and '.join(missing)} {verb} missing: apt-get install {' '.join(missing.values())}"
