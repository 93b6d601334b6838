"""Arrays in files: ``--inputs F.npz`` and ``--calibration PATH``."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np

from ashore.errors import UsageError
from ashore.types.tensor import Array, Sample

_ADVICE = "write one with numpy.savez(path, input_name=array, …)"
_MOST_WORDS = 400
"""Of numpy's own message, which may quote the file."""


class NotArrays(ValueError):
    """An archive that is not what it should be; the message is the reason."""


def load_arrays(path: Path) -> Sample:
    """The named arrays of an ``.npz``; never unpickles.

    Raises:
        UsageError: no such file, not an ``.npz``, empty, or it holds Python objects.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}", _ADVICE)
    if not zipfile.is_zipfile(path):
        raise UsageError(f"{path} is not an .npz", _ADVICE)
    try:
        with path.open("rb") as file:
            arrays = read_arrays(file)
    except (OSError, NotArrays) as error:
        raise UsageError(
            f"{path} is not a readable .npz of plain arrays: {error}", "write it with numpy.savez(path, name=array)"
        ) from error
    if not arrays:
        raise UsageError(f"{path} holds no array", _ADVICE)
    return arrays


def read_arrays(file: IO[bytes], most_bytes: Mapping[str, int] | None = None) -> dict[str, Array]:
    """The arrays of an open ``.npz``, unpacked only where they fit into memory.

    Args:
        most_bytes: names of the arrays to read, and how long each may be with its header; None for all.

    Raises:
        NotArrays: it holds anything else, or a name is missing.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            sizes = {info.filename.removesuffix(".npy"): info.file_size for info in archive.infolist()}
        _check_sizes(sizes, sizes if most_bytes is None else most_bytes)
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in (arrays.files if most_bytes is None else most_bytes)}
    except NotArrays:
        raise
    except Exception as error:  # numpy and zipfile promise no list of what a damaged archive raises
        raise NotArrays(f"{error}"[:_MOST_WORDS] or type(error).__name__) from error
    for name, array in found.items():
        if not isinstance(array, np.ndarray):  # a zip may hold any file
            raise NotArrays(f"it holds {name!r}, which is no array")
    return found


def _check_sizes(sizes: Mapping[str, int], most_bytes: Mapping[str, int]) -> None:
    """A few kilobytes can unpack to the size of the machine's memory."""
    for name, most in most_bytes.items():
        if name not in sizes:
            raise NotArrays(f"{name!r} is missing")
        if sizes[name] > most:
            raise NotArrays(f"{name!r} unpacks to {sizes[name]} bytes, and it should have {most} at the most")
    unpacked, memory = sum(sizes[name] for name in most_bytes), _memory_bytes()
    if unpacked > memory // 2:
        raise NotArrays(f"it unpacks to {unpacked} bytes, more than half of this machine's memory of {memory}")


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def save_arrays(file: IO[bytes], arrays: Sample) -> None:
    """An ``.npz``, as numpy.savez writes it; but arrays may have any name, such as ``file``."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def load_samples(path: Path) -> list[Sample]:
    """Samples of an ``.npz`` whose arrays carry a leading axis of samples, or of a folder of one-sample ``.npz`` files.

    Raises:
        UsageError: nothing is there, or the arrays disagree on the number of samples.
    """
    if path.is_dir():
        files = sorted(path.glob("*.npz"))
        if not files:
            raise UsageError(f"the folder {path} holds no .npz file", "save one sample a file with numpy.savez")
        return [load_arrays(file) for file in files]
    return list(_split(load_arrays(path), path))


def _split(arrays: Sample, path: Path) -> Iterator[Sample]:
    if any(array.ndim == 0 for array in arrays.values()):
        raise UsageError(f"{path} holds an array with no axis", "stack the samples along a leading axis")
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) != 1:
        listed = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise UsageError(
            f"the arrays of {path} disagree on the number of samples ({listed})",
            "stack the samples of every input along a leading axis of one length",
        )
    for index in range(next(iter(counts.values()))):
        yield {name: array[index] for name, array in arrays.items()}
