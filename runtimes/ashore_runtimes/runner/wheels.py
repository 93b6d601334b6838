"""The native libraries inside the engines' wheels: those installed here, and those of the same versions for arm64."""

from __future__ import annotations

import importlib.metadata
import logging
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ashore.errors import TargetUnavailable
from ashore_runtimes.cache import made_once

_log = logging.getLogger("ashore.runtimes")

DISTRIBUTIONS = {"executorch": "executorch", "litert": "ai-edge-litert"}
"""Backend -> the distribution whose wheel holds its engine's libraries."""
_PACKAGES = {"executorch": "executorch", "litert": "ai_edge_litert"}
_LIBRARIES = {
    "executorch": (
        "lib/libexecutorch.so",
        "lib/libexecutorch_threadpool.so",
        "lib/libexecutorch_backend_xnnpack.so",
        "lib/libexecutorch_kernels_optimized.so",
        "lib/libexecutorch_kernels_quantized.so",
    ),
    "litert": ("libLiteRt.so",),
}
_HEADERS = {"executorch": "include/"}
_ARM64_PLATFORMS = (
    "manylinux_2_28_aarch64",
    "manylinux_2_27_aarch64",
    "manylinux_2_17_aarch64",
    "manylinux2014_aarch64",
)
_FETCH_LIMIT_S = 900.0


@dataclass(frozen=True)
class Wheel:
    """One engine's package, on disk.

    Attributes:
        engine: ``executorch`` or ``litert``.
        version: the distribution's.
        package: the folder that holds its libraries, and its headers where it ships some.
    """

    engine: str
    version: str
    package: Path

    @property
    def libraries(self) -> tuple[Path, ...]:
        return tuple(self.package / name for name in _LIBRARIES[self.engine])

    @property
    def complete(self) -> bool:
        """Whether it can be linked against; wheels of other versions may ship no libraries."""
        headers = _HEADERS.get(self.engine)
        return all(path.is_file() for path in self.libraries) and (headers is None or (self.package / headers).is_dir())


def installed_wheels() -> tuple[Wheel, ...]:
    """What this Python has installed, and the runner can use."""
    found = (_installed(engine) for engine in DISTRIBUTIONS)
    return tuple(wheel for wheel in found if wheel is not None and wheel.complete)


def _installed(engine: str) -> Wheel | None:
    try:
        distribution = importlib.metadata.distribution(DISTRIBUTIONS[engine])
    except importlib.metadata.PackageNotFoundError:
        return None
    return Wheel(engine, distribution.version, Path(str(distribution.locate_file(_PACKAGES[engine]))))


def arm64_wheel(wheel: Wheel, cache: Path) -> Wheel:
    """The same version's wheel for arm64 Linux, unpacked below ``cache``; fetched by pip where it is not there yet.

    Raises:
        TargetUnavailable: it cannot be fetched, or holds no libraries.
    """
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    folder = cache / "wheels" / f"{DISTRIBUTIONS[wheel.engine]}-{wheel.version}-{python}-aarch64"
    foreign = Wheel(wheel.engine, wheel.version, folder)
    made_once(folder, lambda staging: _fetch_into(staging, wheel))
    if not foreign.complete:
        raise TargetUnavailable(
            f"the arm64 wheel of {DISTRIBUTIONS[wheel.engine]} {wheel.version} in {folder} lacks libraries",
            "remove that folder and try again",
        )
    return foreign


def _fetch_into(folder: Path, wheel: Wheel) -> None:
    _unpack(_fetch(wheel, folder.parent), wheel.engine, folder)


def _fetch(wheel: Wheel, folder: Path) -> Path:
    requirement = f"{DISTRIBUTIONS[wheel.engine]}=={wheel.version}"
    platforms = [word for platform in _ARM64_PLATFORMS for word in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *platforms]
    command += ["--dest", str(folder), "--disable-pip-version-check", requirement]
    _log.info("fetching the arm64 wheel of %s, which is done once", requirement)
    hint = "the emulator and phones need it once; check the network, or fetch it on another machine"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TargetUnavailable(f"cannot fetch the arm64 wheel of {requirement}: {error}", hint) from error
    fetched = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not fetched:
        raise TargetUnavailable(f"cannot fetch the arm64 wheel of {requirement}:\n{last_lines(done.stderr)}", hint)
    return fetched[0]


def _unpack(wheel_file: Path, engine: str, folder: Path) -> None:
    """Only what the runner needs: most of a wheel is Python."""
    wanted = (*_LIBRARIES[engine], *filter(None, [_HEADERS.get(engine)]))
    with zipfile.ZipFile(wheel_file) as archive:
        for name in archive.namelist():
            path = PurePosixPath(name)
            inner = "/".join(path.parts[1:])
            if path.parts[0] == _PACKAGES[engine] and ".." not in path.parts and inner.startswith(wanted):
                target = folder / inner
                if not name.endswith("/"):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(archive.read(name))


def last_lines(text: str, count: int = 12) -> str:
    """The end of a program's output, where it says why it failed."""
    return "\n".join(text.strip().splitlines()[-count:])
