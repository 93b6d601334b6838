"""The arrays of one edge of a model in shared memory, seen by the parent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ashore.types.tensor import Array, Sample
from ashore_runtimes.edges import Edge
from ashore_runtimes.frames import lay_out, pack_layout, unpack_layout
from ashore_runtimes.shared import SharedMemory


class SharedTensors:
    """Views are made once for a set of shapes, so that a run of the same shapes only copies values."""

    def __init__(self, fd: int, edge: Edge) -> None:
        self.edge = edge
        self._memory = SharedMemory(fd)
        self.release()

    def release(self) -> None:
        """Let go of the memory, and of the file descriptor that a map of it holds."""
        self._memory.release()
        self._shapes: list[tuple[int, ...]] | None = None
        self._layout = b""
        self._views: list[Array] = []
        self._results: list[tuple[str, np.dtype[Any], Array]] = []

    def write(self, arrays: Sequence[Array]) -> bytes:
        """Copy ``arrays``, in the file's order, to where the child sees them; their layout."""
        shapes = [array.shape for array in arrays]
        if shapes != self._shapes:
            slots, size_bytes = lay_out(shapes, [dtype.itemsize for dtype in self.edge.dtypes])
            self._memory.reserve(size_bytes)
            self._views = self._memory.arrays(slots, self.edge.dtypes)
            self._layout, self._shapes = pack_layout(slots), shapes
        for view, array in zip(self._views, arrays, strict=True):
            view[...] = array  # casts where it must; the values were checked to fit
        return self._layout

    def read(self, layout: bytes) -> Sample:
        """Copies of the arrays the child put at ``layout``, by name, in the order of the specs."""
        if layout != self._layout:
            views = self._memory.arrays(unpack_layout(layout), self.edge.dtypes)
            by_name = {spec.name: view for spec, view in zip(self.edge.in_file, views, strict=True)}
            self._results = [(spec.name, np.dtype(spec.dtype), by_name[spec.name]) for spec in self.edge.specs]
            self._layout = layout
        return {name: view.astype(dtype) for name, dtype, view in self._results}
