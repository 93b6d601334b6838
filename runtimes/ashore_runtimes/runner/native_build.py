"""Build the native runner from its sources and the wheels' libraries, once for each combination of them."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ashore.cache import cache_folder
from ashore.errors import TargetUnavailable
from ashore_runtimes.cache import made_once
from ashore_runtimes.runner.wheels import DISTRIBUTIONS, Wheel, arm64_wheel, installed_wheels, last_lines

_log = logging.getLogger("ashore.runtimes")

RUNNER = "ashore-runner"
TURN = "libashore_turn.so"
_HOST_COMPILER = "g++"
_ARM64_COMPILER = "aarch64-linux-gnu-g++"
_ARM64_SYSROOT = Path("/usr/aarch64-linux-gnu")
_DEBIAN_PACKAGES = {
    "cmake": "cmake",
    "make": "make",
    "gcc": "gcc",
    _HOST_COMPILER: "g++",
    _ARM64_COMPILER: "g++-aarch64-linux-gnu",
}
_BUILD_LIMIT_S = 900.0
_WITHOUT_RUNNER = "models still run on the host through Python; a newer compiler may help"
_LOADER = "ld-linux-aarch64.so.1"
_SYSTEM_LIBRARIES = (
    _LOADER,
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "librt.so.1",
    "libpthread.so.0",
    "libstdc++.so.6",
    "libgcc_s.so.1",
)
"""What the runner, its engines and the wheels' libraries are linked to, directly or not."""


@dataclass(frozen=True)
class NativeBuild:
    """A finished build of ``ashore-runner``. Files of ``folder`` never change once it is there.

    Attributes:
        runner: the program.
        folder: holds the runner, its engines and (links to) the wheels' libraries; its name is the key of the cache.
        library_paths: what LD_LIBRARY_PATH may hold; the engines find the libraries beside themselves without it.
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
    if platform.system() != "Linux":
        raise TargetUnavailable(f"the native runner is built on Linux only, not {platform.system()}")
    return _build(_HOST_COMPILER, platform.machine(), _usable_wheels(), sysroot=None)


def arm64_build() -> NativeBuild:
    """The runner for arm64 Linux, cross-compiled; fetches the arm64 wheels of the installed versions once.

    Raises:
        TargetUnavailable: a compiler or every wheel is missing, a wheel cannot be fetched, or the compiler fails.
    """
    if platform.machine() in ("aarch64", "arm64"):
        return host_build()
    wheels = _usable_wheels()
    require_programs(_ARM64_COMPILER)  # before the download
    foreign = [arm64_wheel(wheel, cache_folder()) for wheel in wheels]
    return _build(_ARM64_COMPILER, "aarch64", foreign, sysroot=_ARM64_SYSROOT)


def bundle(build: NativeBuild) -> Path:
    """A self-contained folder for an arm64 machine without any of our libraries, such as a phone.

    Start it there as ``./ld-linux-aarch64.so.1 --library-path . ./ashore-runner …`` in the folder itself. The folder's
    name is the hash of its content.

    Raises:
        TargetUnavailable: the cross compiler's own libraries are missing.
    """
    sources = {path.name: path for path in sorted(build.folder.iterdir())}
    sources |= {name: _system_library(name) for name in _SYSTEM_LIBRARIES}
    digest = hashlib.sha256()
    for name, path in sorted(sources.items()):
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    folder = cache_folder() / "bundles" / digest.hexdigest()
    return made_once(folder, lambda staging: _copy(sources, staging))


def _copy(sources: Mapping[str, Path], folder: Path) -> None:
    for name, path in sources.items():
        shutil.copy(path, folder / name)
    (folder / _LOADER).chmod(0o755)


def _usable_wheels() -> tuple[Wheel, ...]:
    wheels = installed_wheels()
    if not wheels:
        names = " or ".join(DISTRIBUTIONS.values())
        raise TargetUnavailable(f"no {names} is installed", 'pip install "ashore[executorch,litert]"')
    return wheels


def _build(compiler: str, abi: str, wheels: Sequence[Wheel], sysroot: Path | None) -> NativeBuild:
    sources = source_folder()
    folder = cache_folder() / "native" / f"{abi}-{build_key(files_of(sources), compiler, wheels)}"
    made_once(folder, lambda staging: _compile(sources, compiler, abi, wheels, staging))
    engines = tuple(wheel.engine for wheel in wheels)
    return NativeBuild(folder / RUNNER, folder, (folder,), engines, sysroot)


def source_folder() -> Path:
    """Inside the package where ashore was installed from a wheel, beside it in a checkout."""
    here = Path(__file__).parents[1]
    for folder in (here / "native", here.parent / "native"):
        if (folder / "CMakeLists.txt").is_file():
            return folder
    raise TargetUnavailable("the sources of the native runner are missing from this installation", "reinstall ashore")


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def build_key(sources: Sequence[Path], compiler: str, wheels: Sequence[Wheel] = ()) -> str:
    """Of all that goes into a build. The compiler goes by its file, because asking it takes as long as a short run."""
    digest = hashlib.sha256()
    for path in sources:
        digest.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    program = Path(shutil.which(compiler) or compiler).resolve()
    if program.is_file():
        digest.update(f"{program}\0{program.stat().st_size}\0{program.stat().st_mtime_ns}\n".encode())
    for wheel in wheels:
        digest.update(f"{wheel.engine}\0{wheel.version}\0{wheel.package}\n".encode())
    return digest.hexdigest()[:32]


def require_programs(*programs: str, product: str = "the native runner") -> None:
    """Raises TargetUnavailable where one is not on the PATH; the hint is the command that adds it."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        packages = " ".join(_DEBIAN_PACKAGES[program] for program in missing)
        raise TargetUnavailable(
            f"{product} cannot be built: {' and '.join(missing)} not found", f"apt-get install {packages}"
        )


def _compile(sources: Path, compiler: str, abi: str, wheels: Sequence[Wheel], out: Path) -> None:
    require_programs("cmake", "make", compiler)
    _log.info("building the native runner for %s, which is done once and takes about a minute", abi)
    scratch = out.parent / "cmake"
    options = [f"-DCMAKE_CXX_COMPILER={compiler}", "-DCMAKE_BUILD_TYPE=Release"]
    if abi != platform.machine():
        options += ["-DCMAKE_SYSTEM_NAME=Linux", f"-DCMAKE_SYSTEM_PROCESSOR={abi}"]
    for wheel in wheels:
        options.append(f"-DASHORE_{wheel.engine.upper()}_VERSION={wheel.version}")
        options.append(f"-DASHORE_{wheel.engine.upper()}_DIR={wheel.package}")
    run_tool(["cmake", "-S", str(sources), "-B", str(scratch), "-G", "Unix Makefiles", "-Wno-dev", *options])
    run_tool(["cmake", "--build", str(scratch), "--parallel", str(os.cpu_count() or 1)])
    for name in (RUNNER, TURN, *(f"libashore_{wheel.engine}.so" for wheel in wheels)):
        shutil.copy(scratch / name, out / name)
    for library in (library for wheel in wheels for library in wheel.libraries):
        (out / library.name).symlink_to(library)


def run_tool(command: list[str], product: str = "the native runner", without: str = _WITHOUT_RUNNER) -> None:
    """Run a step of the build of ``product``; ``without`` says what that means for people if it fails.

    Raises:
        TargetUnavailable: with the end of what the tool printed.
    """
    # The user's own flags are for the user's programs.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("CFLAGS", "CXXFLAGS", "LDFLAGS", "CXX")
    }
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=_BUILD_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TargetUnavailable(f"{product} cannot be built: {error}") from error
    if done.returncode != 0:
        raise TargetUnavailable(
            f"{product} cannot be built; {command[0]} says:\n{last_lines(done.stdout + done.stderr)}", without
        )


def _system_library(name: str) -> Path:
    compiler = _ARM64_COMPILER if shutil.which(_ARM64_COMPILER) else _HOST_COMPILER
    require_programs(compiler)
    asked = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=False)
    path = Path(asked.stdout.strip())
    if not path.is_absolute():  # the bare name comes back where there is no such file
        raise TargetUnavailable(f"{compiler} has no {name}", f"apt-get install {_DEBIAN_PACKAGES[compiler]}")
    return path.resolve()
