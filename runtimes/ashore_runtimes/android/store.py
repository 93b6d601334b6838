"""What ashore keeps on a device: the runner's bundle and models, each under the hash of its content.

A name is only ever given to what has arrived whole: files are pushed under a name of passage, checked there, and then
renamed. So a broken push leaves nothing that a later run would trust, and what is there is not pushed again.
"""

from __future__ import annotations

import hashlib
import secrets
import shlex
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ashore.errors import AshoreError, TransferFailed
from ashore_runtimes.android.client import COMMAND_LIMIT_S, Device

STORE = "/data/local/tmp/ashore"
"""``/data/local/tmp`` is the one folder of an Android device where adb's user may both write and execute."""
_HASHED_BYTES_PER_S = 10e6
"""The slowest device worth waiting for, when it reads again what it received."""
_STALE_MINUTES = 120
_NOT_FOUND = 127
"""A shell's exit code for a program that is not there."""
_LOCKS: dict[str, threading.Lock] = {}


@dataclass(frozen=True)
class Parcel:
    """A file, or a folder of files, that a device is to hold.

    Attributes:
        what: it, in messages.
        local: where it is here.
        name: its path under ``STORE``.
        files: names in ``local``; empty for a file alone.
    """

    what: str
    local: Path
    name: str
    files: tuple[str, ...] = ()

    @property
    def remote(self) -> str:
        return f"{STORE}/{self.name}"

    def contents(self, name: str) -> dict[str, Path]:
        """Its files here by their path there, were it called ``name``."""
        return {f"{name}/{file}": self.local / file for file in self.files} or {name: self.local}

    def sizes(self, name: str) -> dict[str, str]:
        return {path: str(file.stat().st_size) for path, file in self.contents(name).items()}

    @property
    def size_bytes(self) -> int:
        return sum(map(int, self.sizes(self.name).values()))


def bundle_parcel(folder: Path) -> Parcel:
    """The runner and all that it needs, in a folder that is named by the hash of its content."""
    return Parcel("the runner", folder, folder.name, tuple(sorted(path.name for path in folder.iterdir())))


def model_parcel(file: Path, sha256: str) -> Parcel:
    return Parcel(file.name, file.absolute(), f"models/{sha256}")


def deliver(device: Device, *parcels: Parcel) -> None:
    """See to it that the device holds the parcels, pushing those that it lacks.

    Raises:
        TransferFailed: the device is full, the connection broke, or what arrived is not what was sent.
        DeviceTimeout, TargetUnavailable: as ``Device.push`` and ``Device.ask``.
    """
    # Sessions that open at the same time wait for the first to push what they share.
    with _LOCKS.setdefault(device.serial, threading.Lock()):
        for parcel in _lacking(device, parcels):
            _push(device, parcel)


def discard(device: Device, parcel: Parcel) -> None:
    _do(device, f"rm -rf {shlex.quote(parcel.remote)}", f"removing {parcel.what}")


def clean(device: Device) -> int:
    """Remove everything that ashore keeps on the device; how many kB that was."""
    script = f"if [ -e {STORE} ]; then du -sk {STORE} && rm -rf {STORE}; else echo 0; fi"
    return int(_do(device, script, f"removing {STORE}").split()[0])


def _lacking(device: Device, parcels: Sequence[Parcel]) -> list[Parcel]:
    """Those that are not there with all their bytes: a device that lost power may keep names and lose content."""
    wanted = {parcel: parcel.sizes(parcel.name) for parcel in parcels}
    files = shlex.join(path for sizes in wanted.values() for path in sizes)
    # It complains of files that are missing; all that counts is what it finds.
    _, printed = device.ask(f"cd {STORE} && stat -c '%s %n' {files}", "looking for what it holds")
    found = {path: size for size, _, path in (line.partition(" ") for line in printed.splitlines())}
    return [parcel for parcel in parcels if not wanted[parcel].items() <= found.items()]


def _push(device: Device, parcel: Parcel) -> None:
    doing = f"pushing {parcel.what}"
    passage = f"{parcel.name}.part-{secrets.token_hex(6)}"
    try:
        _prepare(device, parcel, passage, doing)
        device.push(tuple(parcel.contents(passage).values()), f"{STORE}/{passage}", doing)
        _check(device, parcel, passage, doing)
        _give_name(device, parcel, passage, doing)
    except BaseException:  # Ctrl-C too
        with suppress(AshoreError):  # where it does not come back, a later push sweeps
            device.wait()
            device.ask(f"rm -rf {STORE}/{passage}", f"removing what {doing} left", limit_s=5.0)
        raise


def _prepare(device: Device, parcel: Parcel, passage: str, doing: str) -> None:
    """Make the folders, and sweep up what broken pushes of hours ago left."""
    folder = passage if parcel.files else str(Path(passage).parent)
    _do(device, f"mkdir -p {STORE}/{folder}", doing)
    sweep = f"find {STORE} -name '*.part-*' -mmin +{_STALE_MINUTES} -prune -exec rm -rf {{}} ';'"
    device.ask(sweep, "sweeping up broken pushes")


def _check(device: Device, parcel: Parcel, passage: str, doing: str) -> None:
    """Compare what arrived with what was sent: by SHA-256, or by size on a device that cannot hash."""
    contents = parcel.contents(passage)
    limit_s = COMMAND_LIMIT_S + parcel.size_bytes / _HASHED_BYTES_PER_S
    script = f"cd {STORE} && sha256sum {shlex.join(contents)}"
    code, printed = device.ask(script, f"checking {parcel.what}", limit_s)
    if code == _NOT_FOUND:
        arrived = not _lacking(device, [Parcel(parcel.what, parcel.local, passage, parcel.files)])
    else:
        found = {path: sha256 for sha256, _, path in (line.partition("  ") for line in printed.splitlines())}
        arrived = found.items() >= {path: file_sha256(file) for path, file in contents.items()}.items()
    if not arrived:
        raise TransferFailed(
            f"{doing} failed: what arrived on {device.serial} differs from what was sent",
            "nothing of it was kept; run this again, with another cable or over USB where it happens twice",
        )


def _give_name(device: Device, parcel: Parcel, passage: str, doing: str) -> None:
    if not _lacking(device, [parcel]):  # another program was faster
        _do(device, f"rm -rf {STORE}/{passage}", doing)
        return
    # What bears the name is incomplete. Windows keeps no permission to execute, so it is given here.
    _do(device, f"cd {STORE} && chmod -R 755 {passage} && rm -rf {parcel.name} && mv {passage} {parcel.name}", doing)


def _do(device: Device, script: str, doing: str) -> str:
    code, printed = device.ask(script, doing)
    if code != 0:
        raise device.refusal(printed.strip() or f"exit code {code}", doing)
    return printed


def file_sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
