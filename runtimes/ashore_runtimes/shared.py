"""Memory that two processes see: an anonymous file, mapped by both.

The file has no name, so nothing is left behind when either process dies, however it dies.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ashore_runtimes.frames import Slot


def anonymous_file(name: str) -> int:
    """A new file descriptor of an empty file without a name; ``name`` is for people who look at /proc."""
    if sys.platform == "linux":
        return os.memfd_create(name)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class SharedMemory:
    """A growing region. Arrays handed out stay valid when it grows, and show the same bytes."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._map: mmap.mmap | None = None

    def reserve(self, size_bytes: int) -> None:
        """Make room; only the side that writes calls this."""
        pages = max(1, -(-size_bytes // mmap.PAGESIZE))
        if os.fstat(self._fd).st_size < pages * mmap.PAGESIZE:
            os.ftruncate(self._fd, pages * mmap.PAGESIZE)

    def arrays(self, slots: Sequence[Slot], dtypes: Sequence[np.dtype[Any]]) -> list[NDArray[Any]]:
        """Views of the tensors that lie at ``slots``."""
        return [self._array(slot, dtype) for slot, dtype in zip(slots, dtypes, strict=True)]

    def release(self) -> None:
        """Unmap as soon as nobody looks at an array any more."""
        self._map = None

    def _array(self, slot: Slot, dtype: np.dtype[Any]) -> NDArray[Any]:
        count = int(np.prod(slot.shape, dtype=np.int64))
        memory = self._mapped(slot.offset + count * dtype.itemsize)
        return np.frombuffer(memory, dtype, count, slot.offset).reshape(slot.shape)

    def _mapped(self, size_bytes: int) -> mmap.mmap:
        if self._map is None or len(self._map) < size_bytes:
            # The old map is not closed: arrays may still look at it. It goes when they go.
            self._map = mmap.mmap(self._fd, os.fstat(self._fd).st_size)
        return self._map
