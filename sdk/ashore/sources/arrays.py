"""Arrays in files: ``--inputs F.npz`` and ``--calibration PATH``."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ashore.errors import UsageError
from ashore.types.tensor import Array, Sample


def load_arrays(path: Path) -> Sample:
    """The named arrays of an ``.npz``; never unpickles.

    Raises:
        UsageError: no such file, not an ``.npz``, empty, or it holds Python objects.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}", "write one with numpy.savez(path, input_name=array, …)")
    if not zipfile.is_zipfile(path):
        raise UsageError(f"{path} is not an .npz", "write one with numpy.savez(path, input_name=array, …)")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays: dict[str, Array] = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, AttributeError, EOFError, TypeError) as error:
        raise UsageError(
            f"{path} is not a readable .npz of plain arrays: {error}", "write it with numpy.savez(path, name=array)"
        ) from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # a zip may hold any file
            raise UsageError(f"{path} holds {name!r}, which is no array", "write it with numpy.savez(path, name=array)")
    if not arrays:
        raise UsageError(f"{path} holds no array", "write it with numpy.savez(path, input_name=array, …)")
    return arrays


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
