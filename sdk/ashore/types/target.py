"""What is known about a place where artifacts run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class TargetKind(StrEnum):
    HOST = "host"
    EMULATOR = "emulator"
    DEVICE = "device"


@dataclass(frozen=True)
class TargetInfo:
    id: str
    kind: TargetKind
    cpu: str
    cores: int
    memory_bytes: int
    abi: str
    os: str
    backends: tuple[str, ...]
    """Backends whose files run here."""
    problem: str | None = None
    """Why it is not ready; None where it is."""
    runner: str = ""
    """``native`` or ``python``: the program that runs the engine there; empty where there is none."""
    engine_versions: Mapping[str, str] = field(default_factory=dict)
    """Backend -> version of the engine that runs its files."""
    notes: tuple[str, ...] = ()
    """What the user should know of a target that is ready, in sentences."""

    @property
    def ready(self) -> bool:
        return self.problem is None
