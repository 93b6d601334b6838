"""Build the native runner from its sources and the wheels' libraries, once for each combination of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ashore.errors import TargetUnavailable


@dataclass(frozen=True)
class NativeBuild:
    """A finished build of ``ashore-runner``. Files of ``folder`` never change once it is there.

    Attributes:
        runner: the program.
        folder: holds the runner and its engines; its name is the key of the cache.
        library_paths: what LD_LIBRARY_PATH must hold for the engines to find the wheels' libraries.
        engines: which of ``executorch`` and ``litert`` it can run.
        sysroot: where a foreign CPU's loader and C library lie (``qemu-aarch64 -L``); None for the host's own.
    """

    runner: Path
    folder: Path
    library_paths: tuple[Path, ...]
    engines: tuple[str, ...]
    sysroot: Path | None = None


def host_build() -> NativeBuild:
    """The runner for this machine, with an engine for each wheel that is installed.

    Raises:
        TargetUnavailable: a compiler or every wheel is missing, or the compiler fails.
    """
    raise TargetUnavailable("the native runner is not there yet")


def arm64_build() -> NativeBuild:
    """The runner for arm64 Linux, cross-compiled; fetches the arm64 wheels of the installed versions once.

    Raises:
        TargetUnavailable: a compiler or every wheel is missing, a wheel cannot be fetched, or the compiler fails.
    """
    raise TargetUnavailable("the native runner is not there yet")


def bundle(build: NativeBuild) -> Path:
    """A self-contained folder for an arm64 machine without any of our libraries, such as a phone.

    Start it there as ``./ld-linux-aarch64.so.1 --library-path . ./ashore-runner …`` in the folder itself. The folder's
    name is the hash of its content.

    Raises:
        TargetUnavailable: the cross compiler's own libraries are missing.
    """
    raise TargetUnavailable("the native runner is not there yet")
