"""Profiles as files: versioned JSON, read strictly."""

from __future__ import annotations

import json
import math
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ashore.errors import ArtifactError, UsageError
from ashore.pipeline.publishing import publish, staging
from ashore.types.profile import SCHEMA, Profile, Result

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_MAY_BE_NEGATIVE = frozenset({"sqnr_db", "cosine", "floor_db", "before_celsius", "after_celsius"})
_LARGEST = 2**63 - 1
_NUMBERS = re.compile(r"\[\n\s+(-?[\d.e+-]+(?:,\n\s+-?[\d.e+-]+)*)\n\s+\]")
_AGAIN = "profile again, or restore the file"


def load_profile(path: Path | str) -> Profile:
    """Read a profile that ``ashore profile -o`` wrote.

    Raises:
        UsageError: there is no such file.
        ArtifactError: it is no profile of this schema, or holds a value that no measurement gives.
    """
    try:
        text = Path(path).read_bytes()
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}", "give a profile, as ashore profile -o writes it") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}", "check the path and its permissions") from error
    return parse_profile(text, str(path))


def parse_profile(text: bytes, where: str) -> Profile:
    """As :func:`load_profile`, from the file's bytes; ``where`` names them in messages."""
    from pydantic import ValidationError

    fields = _parse_json(text, where)
    if not isinstance(fields, dict) or fields.get("schema") != SCHEMA:
        found = fields.get("schema") if isinstance(fields, dict) else None
        raise ArtifactError(
            f"{where} has schema {found!r}; this ashore reads {SCHEMA!r}",
            "profile again, or use the ashore that wrote it",
        )
    try:
        _check_numbers(fields, where, ())
        profile = _adapter().validate_json(text, strict=True)
    except RecursionError:
        raise ArtifactError(f"{where} is not a profile: it is nested too deeply", _AGAIN) from None
    except ValidationError as error:
        first = error.errors()[0]
        raise ArtifactError(f"{where}: field {_place(first['loc'])!r}: {first['msg']}", _AGAIN) from error
    for index, result in enumerate(profile.results):
        _check_result(result, f"{where}: result {index}")
    return profile


def dump_profile(profile: Profile) -> bytes:
    """The JSON that :func:`load_profile` reads back as the same profile; lists of numbers take one line."""
    text = json.dumps(profile_fields(profile), indent=2, ensure_ascii=False, allow_nan=False)
    return (_NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n").encode()


def save_profile(profile: Profile, path: Path) -> None:
    """Write the file whole or not at all. Raises UsageError where it cannot be written."""
    write_whole(dump_profile(profile), path)


def write_whole(content: bytes, path: Path) -> None:
    """As :func:`save_profile`, any content."""
    with staging(path.parent) as stage:
        part = stage / path.name
        part.write_bytes(content)
        publish([part], path.parent)


def check_output(path: Path) -> None:
    """Raise UsageError where ``path`` cannot become a file: to be known before the long work, not after it."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder, and a file is to go there", "give the path of a file with -o")
    with staging(path.parent):
        pass


def profile_fields(profile: Profile) -> dict[str, Any]:
    """The profile as plain JSON values; what was not measured is left out."""
    fields: dict[str, Any] = _adapter().dump_python(profile, mode="json", exclude_none=True)
    return {"schema": fields.pop("schema"), **fields}


def _parse_json(text: bytes, where: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{where} is not a profile: {error}", _AGAIN) from error


def _refuse_constant(word: str) -> None:
    raise ValueError(f"it holds {word}, which is not a number that can be measured")


def _check_numbers(value: Any, where: str, place: tuple[str | int, ...]) -> None:
    """Numbers are finite, fit 64 bits and, but for a few, are not negative."""
    if isinstance(value, dict):
        for key, part in value.items():
            _check_numbers(part, where, (*place, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            _check_numbers(part, where, (*place, index))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value) or abs(value) > _LARGEST:
            raise ArtifactError(f"{where}: field {_place(place)!r} is {value}, out of any range", _AGAIN)
        if value < 0 and place[-1] not in _MAY_BE_NEGATIVE:
            raise ArtifactError(f"{where}: field {_place(place)!r} is {value}, and cannot be negative", _AGAIN)


def _check_result(result: Result, where: str) -> None:
    """What types alone cannot say."""
    settings, samples = result.settings, result.latency_ns
    if min(settings.threads, settings.repeats, settings.runs) < 1:
        raise ArtifactError(f"{where}: settings say {settings.threads} threads, {settings.runs} runs", _AGAIN)
    if samples is not None and not samples:
        raise ArtifactError(f"{where}: latency_ns is empty; what was not measured is left out", _AGAIN)
    pace = result.environment.pace
    if pace and not (pace.rounds_ns and pace.best_ns and min(pace.rounds_ns)):
        raise ArtifactError(
            f"{where}: its pace has no rounds, or one of 0 ns; what was not measured is left out", _AGAIN
        )
    if result.environment.best_latency_ns == 0:
        raise ArtifactError(f"{where}: its best latency is 0 ns; what was not measured is left out", _AGAIN)
    counted = sum(repeat.runs for repeat in result.repeats)
    if result.repeats and counted != len(samples or ()):
        raise ArtifactError(f"{where}: its repeats count {counted} runs, latency_ns has {len(samples or ())}", _AGAIN)


def _place(parts: tuple[str | int, ...]) -> str:
    return ".".join(str(part) for part in parts)


@cache
def _adapter() -> TypeAdapter[Profile]:
    from pydantic import TypeAdapter

    return TypeAdapter(Profile)
