"""A whole artifact, to be damaged: its three files as bytes, and manifests that vouch for other ones."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hostile.places import Map, read_map

_SUFFIXES = {"executorch": ".pte", "litert": ".tflite"}


@dataclass(frozen=True)
class Original:
    stem: str
    model: bytes
    manifest: bytes
    golden: bytes

    @property
    def backend(self) -> str:
        return self.stem.split(".")[1]

    @property
    def suffix(self) -> str:
        return _SUFFIXES[self.backend]

    @property
    def model_name(self) -> str:
        return self.stem + self.suffix

    @property
    def manifest_name(self) -> str:
        return f"{self.stem}.json"

    @property
    def golden_name(self) -> str:
        return f"{self.stem}.golden.npz"

    @cached_property
    def map(self) -> Map:
        return read_map(self.model, self.backend)

    @property
    def fields(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.manifest)
        return found

    def vouching(self, model: bytes | None = None, golden: bytes | None = None) -> bytes:
        """A manifest with a good seal, as anybody can make it, that vouches for damaged files."""
        fields = self.fields
        if model is not None:
            fields["file"] |= {"sha256": hashlib.sha256(model).hexdigest(), "bytes": len(model)}
        if golden is not None:
            fields["golden"] |= {"sha256": hashlib.sha256(golden).hexdigest()}
        return seal(fields)


def seal(fields: dict[str, Any]) -> bytes:
    """As docs/formats.md describes: the hash of the text with zeros in place of the hash."""
    bare = {key: value for key, value in fields.items() if key != "seal"}
    return sealed_text(json.dumps(bare)[:-1].encode() + b",")


def sealed_text(begin: bytes) -> bytes:
    """``begin`` is all but the seal's own field and the last brace."""
    before, zeros, after = begin + b'\n  "seal": "', b"0" * 64, b'"\n}\n'
    return before + hashlib.sha256(before + zeros + after).hexdigest().encode() + after


def read_originals(folder: Path) -> list[Original]:
    return [
        Original(path.stem, _model_of(path), path.read_bytes(), path.with_suffix(".golden.npz").read_bytes())
        for path in sorted(folder.glob("*.json"))
    ]


def _model_of(manifest: Path) -> bytes:
    return manifest.with_suffix(_SUFFIXES[manifest.stem.split(".")[1]]).read_bytes()
