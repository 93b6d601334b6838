"""Memory that two processes see: an anonymous file, mapped by both.

The file has no name, so nothing is left behind when either process dies, however it dies.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ashore_runtimes.wire.frames import ALIGNMENT_BYTES, Slot


def anonymous_file(name: str, *, may_shrink: bool = True) -> int:
    """A new file descriptor of an empty file without a name; ``name`` is for people who look at /proc.

    ``may_shrink=False`` for files that both sides map: to touch memory that the other one cut off is a deadly signal.
    """
    if sys.platform == "linux":
        fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        if not may_shrink:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        return fd
    import tempfile  # 1 MB that a runner on Linux need not hold

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def arrays_in(data: Any, slots: Sequence[Slot], dtypes: Sequence[np.dtype[Any]]) -> list[NDArray[Any]]:
    """Views of the tensors that lie at ``slots`` of a buffer. Raises ValueError where one lies beyond its end."""
    return [
        np.frombuffer(data, dtype, slot.volume, slot.offset).reshape(slot.shape)
        for slot, dtype in zip(slots, dtypes, strict=True)
    ]


class SharedMemory:
    """A growing region. Arrays handed out stay valid when it grows, and show the same bytes."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._map: mmap.mmap | None = None

    def reserve(self, size_bytes: int) -> None:
        """Make room; only the side that writes calls this. Some libraries read a little beyond a tensor's end."""
        pages = -(-(size_bytes + ALIGNMENT_BYTES) // mmap.PAGESIZE)
        if os.fstat(self._fd).st_size < pages * mmap.PAGESIZE:
            os.ftruncate(self._fd, pages * mmap.PAGESIZE)

    def arrays(self, slots: Sequence[Slot], dtypes: Sequence[np.dtype[Any]]) -> list[NDArray[Any]]:
        """Views of the tensors that lie at ``slots``. Raises ValueError where one lies beyond the end."""
        ends = (slot.offset + slot.volume * dtype.itemsize for slot, dtype in zip(slots, dtypes, strict=True))
        return arrays_in(self._mapped(max(ends, default=0)), slots, dtypes)

    def release(self) -> None:
        """Unmap as soon as nobody looks at an array any more."""
        self._map = None

    def _mapped(self, size_bytes: int) -> mmap.mmap | bytes:
        if self._map is None or len(self._map) < size_bytes:
            there_bytes = os.fstat(self._fd).st_size
            if there_bytes == size_bytes == 0:  # tensors without elements, and mmap takes no empty file
                return b"\0"
            # The old map is not closed: arrays may still look at it. It goes when they go.
            self._map = mmap.mmap(self._fd, there_bytes)
        return self._map
