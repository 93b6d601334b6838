"""Where the Python runner finds its inputs and leaves its outputs: the other end of ``transport``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ashore_runtimes.wire.frames import (
    ALIGNMENT_BYTES,
    Buffer,
    ProtocolError,
    join_layout,
    lay_out,
    pack_layout,
    split_layout,
    unpack_layout,
)
from ashore_runtimes.wire.shared import SharedMemory, arrays_in

_Dtypes = Sequence[np.dtype[Any]]
_Arrays = list[NDArray[Any]]


class Mailbox(Protocol):
    """Both edges of a loaded model."""

    def take(self, body: memoryview) -> _Arrays | None:
        """The inputs of RUN's body; None where they lie where those of the run before lay.

        Raises:
            ProtocolError, ValueError: they do not lie where the body says.
        """
        ...

    def forget(self) -> None:
        """The engine did not accept what was taken: the next run brings its own arrays, whatever their shapes."""
        ...

    def give(self, results: _Arrays) -> tuple[Buffer, ...]:
        """RAN's body, but for the time."""
        ...


class SharedMailbox:
    """In two files that the session maps too."""

    def __init__(self, fds: tuple[int, ...], inputs: _Dtypes, outputs: _Dtypes) -> None:
        self._taken, self._given = (SharedMemory(fd) for fd in fds)
        self._input_dtypes, self._output_dtypes = inputs, outputs
        self._body = self._answer = b""
        self._shapes: list[tuple[int, ...]] | None = None
        self._places: _Arrays = []

    def take(self, body: memoryview) -> _Arrays | None:
        if body == self._body:
            return None
        self.forget()
        arrays = self._taken.arrays(unpack_layout(bytes(split_layout(body)[0])), self._input_dtypes)
        self._body = bytes(body)
        return arrays

    def forget(self) -> None:
        self._body = b""

    def give(self, results: _Arrays) -> tuple[Buffer, ...]:
        shapes = [array.shape for array in results]
        if shapes != self._shapes:
            slots, size_bytes = lay_out(shapes, [dtype.itemsize for dtype in self._output_dtypes])
            self._given.reserve(size_bytes)
            self._places = self._given.arrays(slots, self._output_dtypes)
            self._answer, self._shapes = join_layout(pack_layout(slots)), shapes
        for place, array in zip(self._places, results, strict=True):
            place[...] = array
        return (self._answer,)


class InlineMailbox:
    """In the frames themselves."""

    def __init__(self, inputs: _Dtypes, outputs: _Dtypes) -> None:
        self._input_dtypes, self._output_dtypes = inputs, outputs
        self._data = _aligned(0)
        self.forget()

    def take(self, body: memoryview) -> _Arrays | None:
        layout, data = split_layout(body)
        arrays = None if layout == self._layout else self._make_room(bytes(layout), len(data))
        if len(data) != len(self._data):
            raise ProtocolError(f"{len(data)} bytes of inputs came where {len(self._data)} were announced")
        self._data[:] = np.frombuffer(data, np.uint8)
        return arrays

    def _make_room(self, layout: bytes, size_bytes: int) -> _Arrays:
        self.forget()
        self._data = _aligned(size_bytes)
        arrays = arrays_in(self._data, unpack_layout(layout), self._input_dtypes)
        self._layout = layout
        return arrays

    def forget(self) -> None:
        self._layout = b""

    def give(self, results: _Arrays) -> tuple[Buffer, ...]:
        slots, size_bytes = lay_out([array.shape for array in results], [each.itemsize for each in self._output_dtypes])
        data = bytearray(size_bytes)
        for place, array in zip(arrays_in(data, slots, self._output_dtypes), results, strict=True):
            place[...] = array
        return join_layout(pack_layout(slots)), data


def _aligned(size_bytes: int) -> NDArray[np.uint8]:
    """Some libraries read a little beyond a tensor's end, hence the room after it."""
    room = np.empty(size_bytes + 2 * ALIGNMENT_BYTES, np.uint8)
    begin = -room.ctypes.data % ALIGNMENT_BYTES
    return room[begin : begin + size_bytes]
