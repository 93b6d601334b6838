"""The arrays of a model's edges on their way to a runner and back, seen by the session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from ashore.types.tensor import Array, Sample
from ashore_runtimes.session.edges import Edge
from ashore_runtimes.wire.frames import (
    ENGINE_NS,
    Kind,
    ProtocolError,
    Slot,
    join_layout,
    lay_out,
    pack_frame,
    pack_layout,
    split_layout,
    unpack_layout,
)
from ashore_runtimes.wire.shared import SharedMemory, arrays_in

_REHEARSED_BYTES = 1 << 16
"""To copy more than that takes longer than its rehearsal saves."""


class Transport(Protocol):
    """Carries inputs there and outputs back. Made for the edges of one loaded model."""

    def write(self, arrays: Sequence[Array]) -> bytes:
        """Put ``arrays``, in the file's order and of allowed shapes, on their way; the frame that asks to run them."""
        ...

    def places(self, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
        """Where ``write`` puts arrays of these shapes, in the file's order and types."""
        ...

    def read(self, body: bytes) -> tuple[int, Sample]:
        """The engine's nanoseconds, and the outputs that ``body``, which is RAN's, speaks of: copies, by name.

        Raises:
            ProtocolError: it speaks of what is not there.
        """
        ...

    def rehearse(self) -> Sequence[Array]:
        """Do what the last ``write`` and ``read`` did, without a visible effect, where that is quickly done.

        Returns where the inputs lie, in the file's order; nothing where nothing is rehearsed.
        """
        ...

    def release(self) -> None:
        """Let go of all memory. Nothing is carried afterwards."""
        ...


class SharedTransport:
    """Through two anonymous files that the runner maps too. ``placed`` is told where inputs lie, and how many bytes."""

    def __init__(self, fds: tuple[int, int], inputs: Edge, outputs: Edge, placed: Callable[[int, int], None]) -> None:
        self._placed = placed
        self._sent, self._received = (SharedMemory(fd) for fd in fds)
        self._inputs, self._outputs = _Inputs(inputs, self._make_room), _Outputs(outputs)
        self._asked = self._request = b""
        self._answered = self._body = b""
        self._views: list[Array] = []

    def write(self, arrays: Sequence[Array]) -> bytes:
        layout = self._inputs.write(arrays)
        if layout is not self._asked:
            self._asked, self._request = layout, pack_frame(Kind.RUN, layout)
        return self._request

    def places(self, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
        return self._inputs.places(shapes)

    def read(self, body: bytes) -> tuple[int, Sample]:
        # Outputs of the same shapes lie in the same places, so that views of them are made once.
        if not self._views or body[ENGINE_NS.size :] != self._answered:
            layout, rest = _split_ran(body)
            if rest:
                raise ProtocolError(f"{len(rest)} bytes follow the layout of tensors in shared memory")
            self._views = self._outputs.views(layout, self._received.arrays)
            self._answered = body[ENGINE_NS.size :]
        self._body = body
        return ENGINE_NS.unpack_from(body)[0], self._outputs.copies(self._views)

    def rehearse(self) -> Sequence[Array]:
        self.write(self._inputs.placed)
        if self._views and sum(view.nbytes for view in self._views) <= _REHEARSED_BYTES:
            self.read(self._body)
        return self._inputs.placed

    def release(self) -> None:
        self._inputs.forget()
        self._views = []
        self._sent.release()
        self._received.release()

    def _make_room(self, slots: Sequence[Slot], size_bytes: int, dtypes: Sequence[np.dtype[Any]]) -> list[Array]:
        self._sent.reserve(size_bytes)
        places = self._sent.arrays(slots, dtypes)
        if places:
            self._placed(places[0].ctypes.data, size_bytes)
        return places


class InlineTransport:
    """Inside the frames, where no memory can be shared."""

    def __init__(self, inputs: Edge, outputs: Edge) -> None:
        self._data = bytearray()
        self._inputs, self._outputs = _Inputs(inputs, self._make_room), _Outputs(outputs)

    def write(self, arrays: Sequence[Array]) -> bytes:
        return pack_frame(Kind.RUN, self._inputs.write(arrays), self._data)

    def places(self, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
        return self._inputs.places(shapes)

    def read(self, body: bytes) -> tuple[int, Sample]:
        layout, data = _split_ran(body)
        views = self._outputs.views(layout, lambda *where: arrays_in(data, *where))
        return ENGINE_NS.unpack_from(body)[0], self._outputs.copies(views)

    def rehearse(self) -> Sequence[Array]:
        """What lies inside the frames is not small."""
        return ()

    def release(self) -> None:
        self._inputs.forget()
        self._data = bytearray()

    def _make_room(self, slots: Sequence[Slot], size_bytes: int, dtypes: Sequence[np.dtype[Any]]) -> list[Array]:
        self._data = bytearray(size_bytes)
        return arrays_in(self._data, slots, dtypes)


def _split_ran(body: bytes) -> tuple[memoryview, memoryview]:
    """The layout and what follows it. Raises ProtocolError where there is no layout."""
    return split_layout(memoryview(body)[ENGINE_NS.size :])


class _Inputs:
    """Copies inputs to their places, which are made once for a set of shapes."""

    def __init__(
        self, edge: Edge, make_room: Callable[[Sequence[Slot], int, Sequence[np.dtype[Any]]], list[Array]]
    ) -> None:
        self._dtypes = edge.dtypes
        self._make_room = make_room
        self.forget()

    @property
    def placed(self) -> Sequence[Array]:
        """The places of the last inputs."""
        return self._places

    def forget(self) -> None:
        self._shapes: Sequence[tuple[int, ...]] | None = None
        self._layout = b""
        self._places: list[Array] = []

    def write(self, arrays: Sequence[Array]) -> bytes:
        """The layout, with its length before it. An array that is its own place is there already."""
        for place, array in zip(self.places([array.shape for array in arrays]), arrays, strict=True):
            if array is not place:
                place[...] = array  # casts where it must; the values were checked to fit
        return self._layout

    def places(self, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
        if shapes != self._shapes:
            slots, size_bytes = lay_out(shapes, [dtype.itemsize for dtype in self._dtypes])
            self._places = self._make_room(slots, size_bytes, self._dtypes)
            self._layout, self._shapes = join_layout(pack_layout(slots)), shapes
        return self._places


class _Outputs:
    """From arrays in the file's order to copies in the order of the specs."""

    def __init__(self, edge: Edge) -> None:
        self._dtypes = edge.dtypes
        names = [spec.name for spec in edge.in_file]
        self._wanted = [(spec.name, np.dtype(spec.dtype), names.index(spec.name)) for spec in edge.specs]

    def views(self, layout: memoryview, look: Callable[..., list[Array]]) -> list[Array]:
        try:
            return look(unpack_layout(bytes(layout)), self._dtypes)
        except (ValueError, OverflowError) as error:
            raise ProtocolError(f"the outputs do not lie where their layout says: {error}") from error

    def copies(self, arrays: Sequence[Array]) -> Sample:
        return {name: arrays[index].astype(dtype) for name, dtype, index in self._wanted}
