"""A model file with what vouches for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ashore.types.manifest import Manifest


@dataclass(frozen=True)
class Artifact:
    """``manifest`` is None for a bare ``.pte`` or ``.tflite`` that ashore did not make."""

    file: Path
    backend: str
    manifest: Manifest | None = None

    @property
    def stem(self) -> str:
        return self.file.stem

    @property
    def golden(self) -> Path | None:
        return self.file.with_name(self.manifest.golden.name) if self.manifest else None
