"""What is known about a place where artifacts run."""

from __future__ import annotations

from dataclasses import dataclass
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

    @property
    def ready(self) -> bool:
        return self.problem is None
