"""Targets as data: one TOML file each, ashore's own in the package and the user's in a folder.

docs/formats.md describes the files. A file of the user's takes the place of ashore's own of the same name.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ashore.errors import UsageError
from ashore.registry import runtime_kinds

SCHEMA = "ashore.target/1"
FOLDERS_SETTING = "ASHORE_TARGETS"
"""Environment variable: folders of the user's own targets, separated as in PATH."""

_OWN = Path(__file__).with_name("targets")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class TargetFile:
    """``name`` is the file's, without ``.toml``; ``values`` are the keys of its kind, checked to be text."""

    name: str
    file: Path
    kind: str
    values: Mapping[str, str]


def target_files(kind: str, keys: frozenset[str]) -> tuple[TargetFile, ...]:
    """Every target of ``kind``, by name. ``keys`` are those that such a file may have, besides schema and kind.

    Raises:
        UsageError: one of the files is wrong; the message names it and the key.
    """
    found = {file.stem: file for folder in _folders() for file in sorted(folder.glob("*.toml"))}
    read = (_read(file) for _, file in sorted(found.items()))
    return tuple(_checked(each, keys) for each in read if each.kind == kind)


def target_file(kind: str, name: str, keys: frozenset[str]) -> TargetFile | None:
    """The target of ``kind`` that is called ``name``, None where there is none. Reads no other file."""
    for folder in reversed(list(_folders())):
        file = folder / f"{name}.toml"
        if _NAME.fullmatch(name) and file.is_file():
            read = _read(file)
            return _checked(read, keys) if read.kind == kind else None
    return None


def user_folders() -> tuple[Path, ...]:
    """Where the user's own targets lie; the folders need not exist, unless the environment names them."""
    named = os.environ.get(FOLDERS_SETTING)
    if named:
        return tuple(map(Path, named.split(os.pathsep)))
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return (Path(config) / "ashore" / "targets",)


def _folders() -> Iterator[Path]:
    """From the least to the most particular."""
    yield _OWN
    for folder in user_folders():
        if folder.is_dir():
            yield folder
        elif os.environ.get(FOLDERS_SETTING):
            raise UsageError(f"{FOLDERS_SETTING} names {folder}, which is no folder", "unset it, or make the folder")


def _read(file: Path) -> TargetFile:
    try:
        fields = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file} is not readable TOML: {error}", "docs/formats.md shows a target's file") from error
    if not _NAME.fullmatch(file.stem):
        raise UsageError(f"{file} would name a target {file.stem!r}", "letters, digits, '.', '_' and '-' are allowed")
    for key, value in fields.items():
        if not isinstance(value, str):
            raise UsageError(f"key {key!r} in {file} is {value!r}", "it must be text in quotes")
    if fields.setdefault("schema", SCHEMA) != SCHEMA:
        raise UsageError(f"key 'schema' in {file} is {fields['schema']!r}", f"this ashore reads {SCHEMA!r}")
    kinds = runtime_kinds()
    if fields.get("kind") not in kinds:
        given = f"is {fields['kind']!r}" if "kind" in fields else "is missing"
        raise UsageError(f"key 'kind' in {file} {given}", f"known: {', '.join(kinds)}")
    values = {key: value for key, value in fields.items() if key not in ("schema", "kind")}
    return TargetFile(file.stem, file, fields["kind"], values)


def _checked(target: TargetFile, keys: frozenset[str]) -> TargetFile:
    for key in target.values:
        if key not in keys:
            raise UsageError(
                f"key {key!r} in {target.file} is unknown", f"targets of kind {target.kind} have: {_list(keys)}"
            )
    return target


def _list(keys: frozenset[str]) -> str:
    return ", ".join(["schema", "kind", *sorted(keys)])
