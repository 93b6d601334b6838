"""Samples on disk: hundreds of pictures would otherwise take their room in memory through a whole conversion."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from ashore.types.tensor import Array, Sample


@dataclass(frozen=True)
class _Place:
    offset_bytes: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class Spool:
    """Keeps samples in a file without a name, which is gone with this object; each look at one reads it anew."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        with tempfile.TemporaryFile(prefix="ashore-") as file:
            self._fd = os.dup(file.fileno())
            weakref.finalize(self, os.close, self._fd)
            self._samples = [{name: _put(file, array) for name, array in sample.items()} for sample in samples]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        return {name: self._get(place) for name, place in self._samples[index].items()}

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def _get(self, place: _Place) -> Array:
        count = int(np.prod(place.shape, dtype=np.int64))
        content = os.pread(self._fd, count * place.dtype.itemsize, place.offset_bytes)
        return np.frombuffer(content, place.dtype, count).reshape(place.shape)


def _put(file: BinaryIO, array: Array) -> _Place:
    place = _Place(file.tell(), array.dtype, array.shape)
    file.write(array.tobytes())
    return place
