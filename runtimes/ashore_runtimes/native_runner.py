"""The native runner on this machine, where it can be built or was built before."""

from __future__ import annotations

import logging
import os
from typing import Literal

from ashore.errors import TargetUnavailable, UsageError
from ashore_runtimes.launch import Launch
from ashore_runtimes.native_build import NativeBuild, host_build
from ashore_runtimes.python_runner import python_launch

SETTING = "ASHORE_RUNNER"
"""Environment variable: ``native`` or ``python`` where the choice is not to be ashore's."""

Runner = Literal["native", "python"]
_log = logging.getLogger("ashore.runtimes")


def wanted_runner() -> Runner | None:
    """What the environment asks for. Raises UsageError for a word that is no runner."""
    word = os.environ.get(SETTING, "")
    if word == "native":
        return "native"
    if word == "python":
        return "python"
    if word:
        raise UsageError(f"{SETTING} is {word!r}", "native and python are allowed; unset it to let ashore choose")
    return None


def host_launch(engine: str, threads: int) -> Launch:
    """The native runner, built first if need be, or Python in its place.

    Raises:
        TargetUnavailable: the environment asks for the native runner, and it cannot be built.
    """
    wanted = wanted_runner()
    if wanted == "python":
        return python_launch(engine, threads)
    try:
        build = host_build()
        if engine not in build.engines:
            raise TargetUnavailable(
                f"the native runner was built without {engine}", "ashore doctor shows what it needs"
            )
    except TargetUnavailable as error:
        if wanted == "native":
            raise
        _log.info("models run through Python, since there is no native runner: %s", error.message)
        return python_launch(engine, threads)
    return native_launch(build, engine, threads)


def native_launch(build: NativeBuild, engine: str, threads: int, before: tuple[str, ...] = ()) -> Launch:
    """``before`` are the words of a program that runs the runner."""
    return Launch(
        (*before, str(build.runner), engine, "--threads", str(threads)),
        environment={"LD_LIBRARY_PATH": library_path(build)},
    )


def library_path(build: NativeBuild) -> str:
    return ":".join(map(str, build.library_paths))
