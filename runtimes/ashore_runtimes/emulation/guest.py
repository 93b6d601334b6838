"""What a program on an emulated CPU sees of its machine, beside its C library: ``/proc/cpuinfo``."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from ashore.cache import cache_folder
from ashore.errors import TargetUnavailable
from ashore_runtimes.cache import made_once
from ashore_runtimes.runner.native_build import build_key, files_of, require_programs, run_tool, source_folder

_TELLER = "cpuinfo"
_PRODUCT = "the program by which an emulated CPU tells its model"
_WITHOUT = "without it, engines would choose their kernels by this machine's CPU"
_LIMIT_S = 60.0


def guest_root(qemu: str, cpu: str, sysroot: Path | None) -> Path:
    """A folder for ``qemu -L``: all of ``sysroot``, and the ``/proc/cpuinfo`` of ``cpu``.

    Engines choose kernels by the CPU's model that they find there. Before its release 8.2 qemu shows them this
    machine's own: which kernels run, and how many instructions they take, would depend on where they are emulated.

    Raises:
        TargetUnavailable: qemu does not know the CPU, or the compiler is missing.
    """
    teller = _teller()
    processors = os.cpu_count() or 1
    name = f"{cpu}-{processors}-{build_key([teller], qemu)}"
    told = [qemu, "-cpu", cpu, str(teller), str(processors)]
    return made_once(cache_folder() / "guests" / name, lambda staging: _fill(staging, _ask(told), sysroot))


def _teller() -> Path:
    compiler = "g++" if platform.machine() in ("aarch64", "arm64") else "aarch64-linux-gnu-g++"
    sources = files_of(source_folder() / "guest")
    folder = cache_folder() / "native" / f"aarch64-guest-{build_key(sources, compiler)}"
    return made_once(folder, lambda staging: _compile(compiler, sources, staging / _TELLER)) / _TELLER


def _compile(compiler: str, sources: list[Path], program: Path) -> None:
    require_programs(compiler, product=_PRODUCT)
    flags = ["-std=c++17", "-O2", "-static", "-Wall", "-Wextra", "-Werror"]
    run_tool([compiler, *flags, "-o", str(program), *map(str, sources)], _PRODUCT, _WITHOUT)


def _ask(command: list[str]) -> str:
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TargetUnavailable(f"cannot run {command[0]}: {error}", "ashore doctor shows what is missing") from error
    if asked.returncode != 0:
        words = asked.stderr.strip() or f"it ended with {asked.returncode}"
        raise TargetUnavailable(
            f"{command[0]} does not run CPU {command[2]}: {words}", f"{command[0]} -cpu help lists names"
        )
    return asked.stdout


def _fill(folder: Path, cpuinfo: str, sysroot: Path | None) -> None:
    for path in sysroot.iterdir() if sysroot else ():
        (folder / path.name).symlink_to(path)
    (folder / "proc").mkdir()
    (folder / "proc" / "cpuinfo").write_text(cpuinfo)
