"""Named arm64 CPUs under qemu-user: right answers and instruction counts, no times."""

from __future__ import annotations

import re
import shutil
import signal
from dataclasses import dataclass

from ashore.errors import AshoreError, EngineCrashed, TargetUnavailable, UsageError
from ashore.interfaces import Target
from ashore.types.artifact import Artifact
from ashore.types.profile import InstructionCounts
from ashore.types.target import TargetInfo, TargetKind
from ashore.types.tensor import Sample
from ashore_runtimes.emulation.guest import guest_root
from ashore_runtimes.emulation.instructions import count_instructions
from ashore_runtimes.host import check_engine, check_settings
from ashore_runtimes.machine import memory_bytes, usable_cores
from ashore_runtimes.runner.engines import engine_versions
from ashore_runtimes.runner.launch import CRASH_ADVICE, Ending, Launch, cause_of_death, explain_local, signal_name
from ashore_runtimes.runner.native_build import NativeBuild, arm64_build
from ashore_runtimes.runner.native_runner import library_path, missing_tools
from ashore_runtimes.session.session import RunnerSession
from ashore_runtimes.target_files import TargetFile, target_file, target_files, user_folders

_KIND = "emulator"
_KEYS = frozenset({"cpu"})
QEMU = "qemu-aarch64"
_TOOLS = {QEMU: "qemu-user", "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu", "cmake": "cmake", "make": "make"}
_CPU = re.compile(r"[a-z0-9][a-z0-9-]*")
_WHY_NOT_MAX = "qemu's 'max' gives wrong int8 results (an SQNR of about 1 dB): its SVE and SME are not those of any CPU"
_GUEST_SIGNAL = re.compile(r"^qemu: uncaught target signal (\d+).*\n?", re.MULTILINE)
_ADVICE: dict[int, str] = {
    signal.SIGILL: "the engine's libraries use an instruction that this CPU does not have: take a newer one"
}


class EmulatorRuntime:
    """Knows ``emulator:<name>`` for each file that describes a CPU."""

    def targets(self) -> tuple[Target, ...]:
        return tuple(_from_file(file) for file in target_files(_KIND, _KEYS))

    def target(self, target_id: str) -> Target:
        name = target_id.partition(":")[2]
        if name == "max":
            raise TargetUnavailable(f"there is no target {target_id!r}: {_WHY_NOT_MAX}", _known())
        file = target_file(_KIND, name, _KEYS)
        if file is None:
            raise TargetUnavailable(
                f"there is no target {target_id!r}", f"{_known()}; a file {user_folders()[0]}/<name>.toml adds another"
            )
        return _from_file(file)


def _known() -> str:
    return f"known: {', '.join(f'{_KIND}:{file.name}' for file in target_files(_KIND, _KEYS))}"


def _from_file(file: TargetFile) -> EmulatorTarget:
    cpu, where = file.values.get("cpu"), f"key 'cpu' in {file.file}"
    if cpu is None:
        raise UsageError(f"{where} is missing", f"{QEMU} -cpu help lists the names")
    if cpu.partition(",")[0] == "max":
        raise UsageError(f"{where} is {cpu!r}: {_WHY_NOT_MAX}", "name a real CPU, such as cortex-a76")
    if not _CPU.fullmatch(cpu):
        raise UsageError(f"{where} is {cpu!r}, which is no CPU's name", f"{QEMU} -cpu help lists the names")
    return EmulatorTarget(f"{_KIND}:{file.name}", cpu)


@dataclass(frozen=True)
class EmulatorTarget:
    """One CPU. The emulated program uses this machine's kernel, memory and cores."""

    id: str
    cpu: str

    def describe(self) -> TargetInfo:
        versions = engine_versions()
        problem = missing_tools(_TOOLS)
        if not versions:
            problem = 'no engine is installed: pip install "ashore[executorch,litert]"'
        return TargetInfo(
            id=self.id,
            kind=TargetKind.EMULATOR,
            cpu=self.cpu,
            cores=usable_cores(),
            memory_bytes=memory_bytes(),
            abi="arm64",
            os="Linux under qemu-user",
            backends=tuple(versions),
            problem=problem,
            runner="native",
            engine_versions=versions,
        )

    def open(
        self, artifact: Artifact, *, threads: int = 1, timeout_s: float = 300.0, count_ops: bool = False
    ) -> RunnerSession:
        """Load a model on the emulated CPU. Arguments as ``ashore.interfaces.Target.open`` says.

        Raises:
            ArtifactError: the file is missing, or its manifest describes another.
            TargetUnavailable: qemu, the cross compiler or the engine is missing, or qemu does not know the CPU.
            ExecutionError: the engine cannot load the file; EngineCrashed where the attempt killed its process.
        """
        check_settings(artifact, threads, timeout_s)
        check_engine(artifact)
        launch = self.launch(artifact.backend, threads)
        return RunnerSession(artifact, launch, timeout_s=timeout_s, count_ops=count_ops)

    def count_instructions(self, artifact: Artifact, inputs: Sample, *, runs: int = 3) -> InstructionCounts:
        """As ``ashore.interfaces.CountsInstructions`` says; raises what ``open`` does besides."""
        check_settings(artifact, threads=1, timeout_s=1.0)
        check_engine(artifact)
        return count_instructions(artifact, inputs, self.launch(artifact.backend, threads=1), runs=runs)

    def launch(self, engine: str, threads: int) -> Launch:
        """Start of the arm64 runner, which is built first if need be."""
        if problem := missing_tools(_TOOLS):
            raise TargetUnavailable(f"{self.id} is not ready: {problem}", "ashore doctor shows all that is missing")
        build = arm64_build()
        if engine not in build.engines:
            raise TargetUnavailable(f"the arm64 runner was built without {engine}", "ashore doctor shows what it needs")
        words = (*self._qemu(build), str(build.runner), engine, "--threads", str(threads))
        return Launch(words, explain=self._explain)

    def _qemu(self, build: NativeBuild) -> tuple[str, ...]:
        # Called by name: binfmt, by which a kernel would call it, is seldom registered.
        qemu = shutil.which(QEMU) or QEMU
        root = guest_root(qemu, self.cpu, build.sysroot)
        return (qemu, "-cpu", self.cpu, "-L", str(root), "-E", f"LD_LIBRARY_PATH={library_path(build)}")

    def _explain(self, ending: Ending) -> AshoreError:
        """qemu dies of the signal that killed the program it runs, and says so; without a word, it was its own."""
        told = _GUEST_SIGNAL.search(ending.words)
        if ending.returncode is None or ending.returncode >= 0 or not ending.greeted:
            return explain_local(ending)
        if told is None:
            return _own_crash(ending)
        number = int(told[1])
        words = _GUEST_SIGNAL.sub("", ending.words).strip()
        return EngineCrashed(
            f"the engine's process on {self.id} was killed by {signal_name(number)} while {ending.doing}"
            + (f"\n{words}" if words else ""),
            _ADVICE.get(number, CRASH_ADVICE),
        )


def _own_crash(ending: Ending) -> AshoreError:
    if ending.returncode == -signal.SIGKILL:
        return explain_local(ending)
    return EngineCrashed(
        f"{QEMU} itself {cause_of_death(ending.returncode or 0)} while {ending.doing}{ending.tail}",
        "this is not the model's trouble alone: another version of qemu, or another CPU, may run it",
    )
