"""The machine ashore runs on, as a target. Models run in a child process, never in the caller's."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

from ashore.errors import ArtifactError, TargetUnavailable, UsageError
from ashore.interfaces import Target
from ashore.types.artifact import Artifact
from ashore.types.target import TargetInfo, TargetKind
from ashore_runtimes.native_runner import host_launch
from ashore_runtimes.session import RunnerSession

_DISTRIBUTIONS = {"executorch": "executorch", "litert": "ai-edge-litert"}
"""Backend -> the distribution whose engine runs its files; the backend's name is also that of ashore's extra."""
_ABIS = {"amd64": "x86_64", "aarch64": "arm64"}


class HostRuntime:
    """Knows one target, ``host``."""

    def targets(self) -> tuple[Target, ...]:
        return (HostTarget(),)

    def target(self, target_id: str) -> Target:
        if target_id != HostTarget.id:
            raise TargetUnavailable(f"there is no target {target_id!r}", "this machine is called 'host'")
        return HostTarget()


class HostTarget:
    """This machine, through the engines that are installed in this Python."""

    id = "host"

    def describe(self) -> TargetInfo:
        backends = tuple(backend for backend in _DISTRIBUTIONS if _installed(backend))
        return TargetInfo(
            id=self.id,
            kind=TargetKind.HOST,
            cpu=_cpu_model(),
            cores=_usable_cores(),
            memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            abi=_ABIS.get(platform.machine().lower(), platform.machine()),
            os=f"{platform.system()} {platform.release()}",
            backends=backends,
            problem=None if backends else 'no engine is installed: pip install "ashore[executorch,litert]"',
        )

    def open(
        self, artifact: Artifact, *, threads: int = 1, timeout_s: float = 300.0, count_ops: bool = False
    ) -> RunnerSession:
        """Load a model in a new process. Arguments as ``ashore.interfaces.Target.open`` says.

        Raises:
            ArtifactError: the file is missing, or its manifest describes another.
            TargetUnavailable: the engine of this backend is not installed.
            ExecutionError: the engine cannot load the file; EngineCrashed where the attempt killed its process.
        """
        check_settings(artifact, threads, timeout_s)
        if not _installed(artifact.backend):
            raise TargetUnavailable(
                f"{artifact.file.name} needs {_DISTRIBUTIONS[artifact.backend]}, which is not installed",
                f'pip install "ashore[{artifact.backend}]"',
            )
        launch = host_launch(artifact.backend, threads)
        return RunnerSession(artifact, launch, timeout_s=timeout_s, count_ops=count_ops)


def check_settings(artifact: Artifact, threads: int, timeout_s: float) -> None:
    if artifact.backend not in _DISTRIBUTIONS:
        raise UsageError(
            f"the host cannot run files of backend {artifact.backend!r}", f"it runs {', '.join(_DISTRIBUTIONS)}"
        )
    if threads < 1:
        raise UsageError(f"threads is {threads}", "an engine needs at least 1")
    if not timeout_s > 0:
        raise UsageError(f"timeout_s is {timeout_s}", "it must be more than 0 seconds")
    if not artifact.file.is_file():
        raise ArtifactError(f"there is no file {artifact.file}", "check the path")


def _installed(backend: str) -> bool:
    try:
        importlib.metadata.distribution(_DISTRIBUTIONS[backend])
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _usable_cores() -> int:
    """What this process may use, which in a container is less than what the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
