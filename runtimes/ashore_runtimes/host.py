"""The machine ashore runs on, as a target. Models run in a child process, never in the caller's."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from ashore.errors import ArtifactError, TargetUnavailable, UsageError
from ashore.interfaces import Target
from ashore.types.artifact import Artifact
from ashore.types.target import TargetInfo, TargetKind
from ashore_runtimes.machine import abi, cpu_model, memory_bytes, usable_cores
from ashore_runtimes.runner.engines import engine_versions
from ashore_runtimes.runner.native_runner import Choice, choose_runner, host_launch, read_choice
from ashore_runtimes.runner.wheels import DISTRIBUTIONS
from ashore_runtimes.session.session import RunnerSession
from ashore_runtimes.target_files import TargetFile, target_file, target_files

_KIND = "host"
_KEYS = frozenset({"runner"})


class HostRuntime:
    """Knows ``host``, and ``host:<name>`` for each file of the user's that describes another way to run here."""

    def targets(self) -> tuple[Target, ...]:
        return tuple(_from_file(file) for file in target_files(_KIND, _KEYS))

    def target(self, target_id: str) -> Target:
        name = _KIND if target_id == _KIND else target_id.partition(":")[2]
        file = target_file(_KIND, name, _KEYS) if target_id == _KIND or name != _KIND else None
        if file is None:
            raise TargetUnavailable(f"there is no target {target_id!r}", "this machine is called 'host'")
        return _from_file(file)


def _from_file(file: TargetFile) -> HostTarget:
    target_id = _KIND if file.name == _KIND else f"{_KIND}:{file.name}"
    return HostTarget(target_id, read_choice(file.values.get("runner", "auto"), f"key 'runner' in {file.file}"))


@dataclass(frozen=True)
class HostTarget:
    """This machine, through the engines that are installed in this Python."""

    id: str = _KIND
    choice: Choice = "auto"

    def describe(self) -> TargetInfo:
        versions = engine_versions()
        chosen = choose_runner(self.choice)
        problem = chosen.problem
        if not versions:
            problem = 'no engine is installed: pip install "ashore[executorch,litert]"'
        return TargetInfo(
            id=self.id,
            kind=TargetKind.HOST,
            cpu=cpu_model(),
            cores=usable_cores(),
            memory_bytes=memory_bytes(),
            abi=abi(),
            os=f"{platform.system()} {platform.release()}",
            backends=tuple(versions),
            problem=problem,
            runner=chosen.runner,
            engine_versions=versions,
            notes=chosen.notes,
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
        check_engine(artifact)
        launch = host_launch(self.choice, artifact.backend, threads)
        return RunnerSession(artifact, launch, timeout_s=timeout_s, count_ops=count_ops)


def check_settings(artifact: Artifact, threads: int, timeout_s: float) -> None:
    """Raises UsageError or ArtifactError for what no target can do."""
    if artifact.backend not in DISTRIBUTIONS:
        raise UsageError(
            f"no target can run files of backend {artifact.backend!r}", f"they run {', '.join(DISTRIBUTIONS)}"
        )
    if threads < 1:
        raise UsageError(f"threads is {threads}", "an engine needs at least 1")
    if not timeout_s > 0:
        raise UsageError(f"timeout_s is {timeout_s}", "it must be more than 0 seconds")
    if not artifact.file.is_file():
        raise ArtifactError(f"there is no file {artifact.file}", "check the path")


def check_engine(artifact: Artifact) -> None:
    """Raises TargetUnavailable where the libraries that run this artifact are not installed."""
    if artifact.backend not in engine_versions():
        raise TargetUnavailable(
            f"{artifact.file.name} needs {DISTRIBUTIONS[artifact.backend]}, which is not installed",
            f'pip install "ashore[{artifact.backend}]"',
        )
