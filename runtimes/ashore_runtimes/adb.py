"""Android phones and other arm64 devices that adb reaches, as targets.

The runner travels with its own loader and C library, so that nothing need be installed on a device, nor compiled for
it. It works in ``/data/local/tmp``; its streams come through ``adb shell``, and it ends when they do.
"""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass

from ashore.errors import AshoreError, ChecksumMismatch, TargetUnavailable, TransferFailed, UsageError
from ashore.interfaces import Target
from ashore.types.artifact import Artifact
from ashore.types.target import TargetInfo, TargetKind
from ashore_runtimes.android import store as adb_store
from ashore_runtimes.android.client import Device, list_devices
from ashore_runtimes.android.facts import ARM64, DeviceFacts, read_facts
from ashore_runtimes.android.run import remote_launch
from ashore_runtimes.android.store import Parcel
from ashore_runtimes.host import check_engine, check_settings
from ashore_runtimes.runner import native_build
from ashore_runtimes.runner.engines import engine_versions
from ashore_runtimes.runner.native_runner import missing_tools
from ashore_runtimes.session.session import RunnerSession
from ashore_runtimes.target_files import TargetFile, target_file, target_files

_KIND = "adb"
_KEYS = frozenset({"serial"})
_TOOLS = {"aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu", "cmake": "cmake", "make": "make"}


class AdbRuntime:
    """Knows ``adb:<serial>`` for every device in ``adb devices``, and ``adb:<name>`` for each of the user's files.

    Any other serial is taken at its word: a device on the network is reached for when it is opened.
    """

    def targets(self) -> tuple[Target, ...]:
        named = tuple(map(_from_file, target_files(_KIND, _KEYS)))
        if shutil.which("adb") is None:
            return named  # where nobody uses phones, that is no news; ashore doctor says how to begin
        try:
            lines = list_devices()
        except AshoreError as error:
            return (*named, AdbTarget(f"{_KIND}:?", "?", trouble=error))
        serials = {target.serial for target in named}
        return (*named, *(_from_serial(line.serial) for line in lines if line.serial not in serials))

    def target(self, target_id: str) -> Target:
        name = target_id.partition(":")[2]
        if not name:
            raise TargetUnavailable(
                f"there is no target {target_id!r}", "give a serial, as in adb:R5CT1234567; adb devices -l lists them"
            )
        file = target_file(_KIND, name, _KEYS)
        return _from_file(file) if file else _from_serial(name)


def _from_file(file: TargetFile) -> AdbTarget:
    if "serial" not in file.values:
        raise UsageError(f"key 'serial' in {file.file} is missing", "adb devices -l lists the serials")
    return AdbTarget(f"{_KIND}:{file.name}", file.values["serial"])


def _from_serial(serial: str) -> AdbTarget:
    return AdbTarget(f"{_KIND}:{serial}", serial)


@dataclass(frozen=True)
class AdbTarget:
    """One device. ``trouble`` stands for all devices where adb itself does not work."""

    id: str
    serial: str
    trouble: AshoreError | None = None

    @property
    def _device(self) -> Device:
        return Device(self.serial)

    def describe(self) -> TargetInfo:
        """Never raises: what keeps the device from being used is its ``problem``."""
        try:
            if self.trouble is not None:
                raise self.trouble
            self._device.wait()
            facts = read_facts(self._device)
        except AshoreError as error:
            return _info(self.id, DeviceFacts.unknown(), f"{error.message}: {error.hint}")
        return _info(self.id, facts, _problem(facts))

    def open(
        self, artifact: Artifact, *, threads: int = 1, timeout_s: float = 300.0, count_ops: bool = False
    ) -> RunnerSession:
        """Push what the device lacks, and load the model there. Arguments as ``ashore.interfaces.Target.open`` says.

        Raises:
            TargetUnavailable: there is no adb, or no such device, or it is not ready; the hint is the remedy.
            TransferFailed: the device is full, or the connection broke; nothing half-written is trusted later.
            DeviceTimeout: no answer within a limit; what ran on the device was ended.
            ArtifactError, ExecutionError: as on the host.
        """
        check_settings(artifact, threads, timeout_s)
        check_engine(artifact)
        self._device.wait(reach=True)
        visit = _Visit(self._device, _bundle_parcel(artifact.backend), _model_parcel(artifact))
        return visit.open(artifact, threads, timeout_s, count_ops)

    def clean(self) -> str:
        """Implements ``ashore.interfaces.Cleans``: removes the runner and every model."""
        self._device.wait(reach=True)
        kilobytes = adb_store.clean(self._device)
        if not kilobytes:
            return f"there was nothing of ashore on {self.serial}"
        return f"removed {adb_store.STORE} from {self.serial}, {kilobytes / 1000:.1f} MB"

    def read_text(self, path: str) -> str | None:
        """Implements ``ashore.interfaces.ReadsFiles``."""
        try:
            code, text = self._device.ask(f"cat {shlex.quote(path)}", f"reading {path}")
        except AshoreError:
            return None
        return text if code == 0 else None


@dataclass(frozen=True)
class _Visit:
    """A device, with what it must hold for a model to run."""

    device: Device
    bundle: Parcel
    model: Parcel

    def open(self, artifact: Artifact, threads: int, timeout_s: float, count_ops: bool) -> RunnerSession:
        try:
            return self._load(artifact, threads, timeout_s, count_ops)
        except ChecksumMismatch:
            # The file here is in order, so it is the device's copy that decayed since it was pushed.
            adb_store.discard(self.device, self.model)
        try:
            return self._load(artifact, threads, timeout_s, count_ops)
        except ChecksumMismatch as error:
            adb_store.discard(self.device, self.model)
            if artifact.manifest and adb_store.file_sha256(artifact.file) != artifact.manifest.file.sha256:
                raise  # the file here changed since it was checked
            raise TransferFailed(
                f"{self.model.what} reads differently on {self.device.serial} from what was pushed, twice",
                "nothing of it was kept; the device's storage may be failing",
            ) from error

    def _load(self, artifact: Artifact, threads: int, timeout_s: float, count_ops: bool) -> RunnerSession:
        adb_store.deliver(self.device, self.bundle, self.model)
        launch = remote_launch(self.device, self.bundle.remote, artifact.backend, threads)
        return RunnerSession(
            artifact, launch, timeout_s=timeout_s, count_ops=count_ops, model_path=self.model.remote, local=False
        )


def _bundle_parcel(engine: str) -> Parcel:
    build = native_build.arm64_build()
    if engine not in build.engines:
        raise TargetUnavailable(f"the arm64 runner was built without {engine}", "ashore doctor shows what it needs")
    return adb_store.bundle_parcel(native_build.bundle(build))


def _model_parcel(artifact: Artifact) -> Parcel:
    """Raises ChecksumMismatch where the file is not what its manifest vouches for: the device need not see it."""
    found = adb_store.file_sha256(artifact.file)
    if artifact.manifest is not None and found != artifact.manifest.file.sha256:
        raise ChecksumMismatch(
            f"{artifact.file} changed since it was checked: SHA-256 {found[:12]}…, expected "
            f"{artifact.manifest.file.sha256[:12]}…",
            "restore it, or convert the model again",
        )
    return adb_store.model_parcel(artifact.file, found)


def _info(target_id: str, facts: DeviceFacts, problem: str | None) -> TargetInfo:
    versions = engine_versions()
    return TargetInfo(
        id=target_id,
        kind=TargetKind.DEVICE,
        cpu=facts.cpu,
        cores=facts.cores,
        memory_bytes=facts.memory_bytes,
        abi=facts.abi,
        os=facts.os,
        backends=tuple(versions),
        problem=problem,
        runner="native",
        engine_versions=versions,
    )


def _problem(facts: DeviceFacts) -> str | None:
    if facts.abi != ARM64:
        return f"its programs are {facts.abi}, and the runner that is pushed is made for {ARM64} alone"
    return missing_tools(_TOOLS)
