"""Manifests as bytes: JSON with a seal over every byte of it."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from ashore.errors import ManifestInvalid, UsageError
from ashore.pipeline.soundness import problems
from ashore.types.manifest import SCHEMA, Manifest

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_UNSEALED = "0" * 64
_SEAL = re.compile(rb'\n  "seal": "([0-9a-f]{64})"\n}\n\Z')


def dump_manifest(manifest: Manifest) -> bytes:
    """JSON whose last field, ``seal``, is the SHA-256 of the whole text with the seal's own digits as zeros."""
    fields = manifest_fields(manifest) | {"seal": _UNSEALED}
    text = (json.dumps(fields, indent=2, ensure_ascii=False) + "\n").encode()
    return _with_seal(text, hashlib.sha256(text).hexdigest().encode())


def load_manifest(text: bytes, where: str) -> Manifest:
    """Raises ManifestInvalid where the text was altered, or is not of this schema; ``where`` names the file."""
    _check_seal(text, where)
    fields = _read_fields(text, where)
    if fields.get("schema") != SCHEMA:
        schema = repr(fields.get("schema"))[:80]
        raise ManifestInvalid(
            f"{where} has schema {schema}; this ashore reads {SCHEMA!r}",
            "convert the model again, or use the ashore that wrote it",
        )
    return _parse(fields, where)


def manifest_fields(manifest: Manifest) -> dict[str, Any]:
    """The manifest as plain JSON values; what is unknown is left out."""
    fields: dict[str, Any] = _adapter().dump_python(manifest, mode="json", exclude_none=True)
    return {"schema": fields.pop("schema"), **fields}


def _check_seal(text: bytes, where: str) -> None:
    found = _SEAL.search(text)
    unsealed = _with_seal(text, _UNSEALED.encode()) if found else b""
    if found is None or hashlib.sha256(unsealed).hexdigest().encode() != found[1]:
        raise ManifestInvalid(
            f"{where} is not a manifest as ashore wrote it: its seal is missing or does not match its text",
            "restore the file, or convert the model again; a manifest is not to be edited",
        )


def _with_seal(text: bytes, seal: bytes) -> bytes:
    return _SEAL.sub(b'\n  "seal": "' + seal + b'"\n}\n', text)


def _parse(fields: dict[str, Any], where: str) -> Manifest:
    from pydantic import ValidationError

    try:
        manifest = _adapter().validate_python(fields, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])[:200]
        raise ManifestInvalid(f"{where}: field {place!r}: {first['msg']}", "convert the model again") from error
    except (UsageError, RecursionError, OverflowError) as error:  # a recipe that cannot be
        reason = error.message if isinstance(error, UsageError) else str(error)
        raise ManifestInvalid(f"{where}: field 'recipe': {reason}", "convert the model again") from error
    for problem in problems(manifest):
        raise ManifestInvalid(f"{where} {problem}", "convert the model again")
    return manifest


def _read_fields(text: bytes, where: str) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ManifestInvalid(f"{where} is not JSON: {error}", "convert the model again") from error
    return fields


@cache
def _adapter() -> TypeAdapter[Manifest]:
    from pydantic import TypeAdapter

    return TypeAdapter(Manifest)
