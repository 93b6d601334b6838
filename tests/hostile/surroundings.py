"""What else can be wrong with an artifact: its golden samples, its manifest, what kind of thing lies there."""

from __future__ import annotations

import io
import json
import os
import random
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hostile.original import Original, seal, sealed_text

Maker = Callable[[Path], None]
"""Puts something in the place of a file."""


def _folder(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _link(target: str) -> Maker:
    return lambda path: path.symlink_to(target)


def _sparse(head: bytes) -> Maker:
    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.write(head)
            file.truncate(1 << 40)

    return make


def special_things(head: bytes) -> dict[str, Maker]:
    """``head`` begins the file of a terabyte."""
    links = {
        "null": "/dev/null",
        "zero": "/dev/zero",
        "random": "/dev/urandom",
        "dangling": "nowhere",
        "memory": "/proc/self/mem",
    }
    return {
        "folder": _folder,
        "pipe": _pipe,
        "link to itself": lambda path: path.symlink_to(path.name),
        "terabyte": _sparse(head),
        **{f"link {name}": _link(target) for name, target in links.items()},
    }


def bad_goldens(original: Original, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    with np.load(io.BytesIO(original.golden)) as archive:
        arrays = {name: archive[name] for name in archive.files}
    first = next(name for name in arrays if "/in/" in name)
    whole = original.golden
    yield "empty", b""
    yield "text", b"no archive"
    yield "other zip", _zip({"photo.jpg": b"..."})
    yield "empty zip", _zip({})
    for length in range(1, len(whole), max(1, len(whole) // 12)):
        yield f"truncated {length}", whole[:length]
    for index in range(40):
        at = chance.randrange(len(whole))
        yield f"flip {index}", whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :]
    yield "missing array", _npz({name: array for name, array in arrays.items() if name != first})
    yield "no arrays of ours", _npz({"x": np.zeros(3)})
    for name, value in _bad_arrays(arrays[first]).items():
        yield name, _npz(arrays | {first: value})
    yield "objects", _npz(arrays | {first: np.array([print, {}], dtype=object)}, pickle=True)
    yield "zip bomb", _zip({f"{name}.npy": _npy(array) for name, array in arrays.items()} | {f"{first}.npy": _bomb()})
    yield (
        "spare zip bomb",
        _zip({f"{name}.npy": _npy(array) for name, array in arrays.items()} | {"spare.npy": _bomb()}),
    )
    for name, header in _bad_headers().items():
        yield (
            f"header {name}",
            _zip({f"{key}.npy": _npy(array) for key, array in arrays.items()} | {f"{first}.npy": header}),
        )


def _bad_arrays(array: Any) -> dict[str, Any]:
    return {
        "text values": np.full(array.shape, "x"),
        "complex values": array.astype(np.complex64),
        "double values": array.astype(np.float64),
        "records": np.zeros(array.shape, dtype=[("a", "f4"), ("b", "i4")]),
        "dates": np.zeros(array.shape, dtype="M8[s]"),
        "another rank": array[None],
        "another size": array[..., :-1],
        "no elements": array[:0],
        "a scalar": np.float32(1),
        "NaN": np.full_like(array, np.nan),
        "infinity": np.full_like(array, np.inf),
    }


def _bad_headers() -> dict[str, bytes]:
    def npy(text: str) -> bytes:
        return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode("latin-1")

    def fields(shape: str, descr: str = "'<f4'") -> bytes:
        return npy(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n")

    return {
        "huge": fields("(1099511627776,)"),
        "overflowing": fields("(4294967296, 4294967296, 4294967296)"),
        "negative": fields("(-1, 6)"),
        "deep": npy("(" * 5000 + ")" * 5000),
        "code": npy("__import__('os').abort()"),
        "objects": fields("(1,)", "'|O'"),
        "cut": b"\x93NUMPY\1\0\xff\xff{",
        "version": b"\x93NUMPY\xff\xff",
        "empty type": fields("(5,)", "'<V0'"),
    }


@cache
def _bomb() -> bytes:
    return b"\x93NUMPY" + bytes(1 << 24)


def _npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _npz(arrays: dict[str, Any], pickle: bool = False) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=pickle, **arrays)
    return file.getvalue()


def _zip(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def altered_manifests(original: Original, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Whose seal does not fit any more."""
    whole = original.manifest
    yield "empty", b""
    yield "deep", b"[" * 200_000
    yield "deep object", b'{"a":' * 100_000
    yield "binary", chance.randbytes(3000)
    yield "no seal", whole.replace(b"seal", b"meal")
    yield "spaces", whole + b" "
    yield "long", whole + b" " * (1 << 24)
    for length in range(0, len(whole), max(1, len(whole) // 15)):
        yield f"truncated {length}", whole[:length]
    for index in range(40):
        at = chance.randrange(len(whole))
        yield f"flip {index}", whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :]


def forged_manifests(original: Original, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Sealed anew, as anybody can: whole to look at, and wrong."""
    yield "deep", sealed_text(b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b",")
    yield "digits", sealed_text(b'{"schema": ' + b"1" * 10_000 + b",")
    yield "list", sealed_text(b"[1,")
    leaves = list(_leaves(original.fields))
    for path in leaves:
        for value in chance.sample(_NONSENSE, 4):
            fields = original.fields
            _set(fields, path, value)
            yield f"{'.'.join(map(str, path))}={json.dumps(value)[:30]}", seal(fields)
    for path in leaves[::3]:
        fields = original.fields
        _set(fields, path, None, remove=True)
        yield f"{'.'.join(map(str, path))} missing", seal(fields)


_NONSENSE: list[Any] = [
    None, True, -1, 0, 2**31, 2**63, 10**30, 1e300, float("nan"), float("inf"), "", ".", "..", "/", "../x", "x\0y",
    "float99", "(((", "\ud800", "\x1b[2J", "a" * 100_000, [], [[]], {}, {"a": 1}, [-5, 2**40], [2**62] * 8, [1] * 300,
]  # fmt: skip


def _leaves(fields: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = fields.items() if isinstance(fields, dict) else enumerate(fields) if isinstance(fields, list) else ()
    for key, value in items:
        if key != "seal":
            yield (*path, key)
            yield from _leaves(value, (*path, key))


def _set(fields: Any, path: tuple[Any, ...], value: Any, *, remove: bool = False) -> None:
    for key in path[:-1]:
        fields = fields[key]
    if remove:
        del fields[path[-1]]
    else:
        fields[path[-1]] = value
