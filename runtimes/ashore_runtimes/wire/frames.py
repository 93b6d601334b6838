"""The wire between a session and its runner, version 2: small frames on two pipes.

A frame is a little-endian header ``u32 body length, u8 kind`` and the body. Tensors lie in memory that both processes
map (*shared*), or follow inside the frame (*inline*, where no memory can be shared). Either way the frame carries their
*layout*, where each one lies and which shape it has: ``u16 tensors, then for each: u64 byte offset, u8 rank, u64 per
dimension``. Offsets are multiples of 64 and count from the start of the shared file, or of the inline data. Element
types are agreed when the model is loaded and do not change. docs/formats.md describes each body. This module needs
neither numpy nor ashore, so that a child starts quickly.
"""

from __future__ import annotations

import os
import select
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

_HEADER = struct.Struct("<IB")
_COUNT = struct.Struct("<H")
_SLOT = struct.Struct("<QB")
_LAYOUT_BYTES = struct.Struct("<I")
ENGINE_NS = struct.Struct("<Q")
"""How RAN begins."""
_READ_BYTES = 1 << 12
"""All but descriptions of models of many tensors, and inline tensors, fit; a larger buffer costs more to make."""
_PIPE_BYTES = 1 << 16
"""What a pipe holds: no read gives more."""
ALIGNMENT_BYTES = 64
"""A cache line, and as much as any kernel asks of an input's address."""
MAX_BODY_BYTES = 2**31 - 1
MAX_WORDS_BYTES = 1 << 24
"""Longest body where tensors are shared: no frame carries more than text then, and longer ones are noise."""

Buffer = bytes | bytearray | memoryview


class Kind(IntEnum):
    """What a frame means; requests come from the session, answers from the runner."""

    HELLO = 0x5A
    """Answer, unasked: JSON; libraries are up. A rare value: a stray print must not look like it."""
    LOAD = 1
    """Request: u8 flags, [32 bytes SHA-256], the path of the model file as the runner sees it."""
    LOADED = 2
    """Answer: JSON {inputs, outputs, load_ns, memory, planned_bytes}."""
    RUN = 3
    """Request: u32 layout length, layout of the inputs, [inline data]."""
    RAN = 4
    """Answer: u64 nanoseconds in the engine, u32 layout length, layout of the outputs, [inline data]."""
    FAILED = 5
    """Answer: JSON {error, message}; the runner goes on."""
    REPEAT = 6
    """Request: u32 runs on the inputs of the latest RUN."""
    REPEATED = 7
    """Answer: u64 nanoseconds for each run."""
    MEMORY = 8
    """Request, empty."""
    MEMORY_IS = 9
    """Answer: JSON {rss_bytes, peak_bytes, swap_bytes, pss_bytes, method}; what is unknown is left out."""
    OPS = 10
    """Request, empty; only where LOAD asked to count operators."""
    OPS_ARE = 11
    """Answer: JSON {runs, ops: [{name, type, delegated, ns, calls}]}, summed since the load."""
    PACE = 12
    """Request, empty."""
    PACE_IS = 13
    """Answer: JSON {work, rounds_ns}: the name of work that is always the same, nanoseconds of each round of it."""


ANSWERS = frozenset(
    {Kind.HELLO, Kind.LOADED, Kind.RAN, Kind.FAILED, Kind.REPEATED, Kind.MEMORY_IS, Kind.OPS_ARE, Kind.PACE_IS},
)
REQUESTS = frozenset(Kind) - ANSWERS


class LoadFlag(IntEnum):
    """Bits of the first byte of LOAD."""

    COUNT_OPS = 1
    SHA256 = 2


class Fault(StrEnum):
    """Code words of FAILED: whose trouble it is."""

    CHECKSUM_MISMATCH = "ChecksumMismatch"
    INVALID_MODEL = "InvalidModel"
    UNSUPPORTED = "Unsupported"
    INVALID_INPUT = "InvalidInput"
    ENGINE_FAILED = "EngineFailed"
    IMPORT_ERROR = "ImportError"
    PROTOCOL_ERROR = "ProtocolError"


class ProtocolError(Exception):
    """Bytes arrived that are no frame."""


@dataclass(frozen=True)
class Slot:
    """Where a tensor lies."""

    offset: int
    shape: tuple[int, ...]

    @property
    def volume(self) -> int:
        """How many elements it has."""
        return _volume(self.shape)


class Channel:
    """Both directions of a conversation, on two file descriptors that it does not own.

    ``expected`` are the kinds that may come in, ``max_body_bytes`` the longest body that may: anything else is noticed
    at once, where waiting for the rest of it would take until the limit.
    """

    def __init__(
        self,
        read_fd: int,
        write_fd: int,
        expected: frozenset[Kind] = frozenset(Kind),
        max_body_bytes: int = MAX_WORDS_BYTES,
    ) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._expected = {int(kind): kind for kind in expected}
        self._max_body_bytes = max_body_bytes
        self._buffer = bytearray()
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(read_fd, select.POLLIN)
        self._writable.register(write_fd, select.POLLOUT)

    def send(self, kind: Kind, *parts: Buffer, timeout_s: float | None = None) -> None:
        """One frame whose body is ``parts``, one after another. Raises as ``put`` does, and ``pack_frame``."""
        self.put(pack_frame(kind, *parts, most_bytes=self._max_body_bytes), timeout_s)

    def put(self, frame: bytes, timeout_s: float | None = None) -> None:
        """Write what ``pack_frame`` made. The limit works on a descriptor that does not block.

        Raises:
            BrokenPipeError: the other side is gone.
            TimeoutError: it did not take the whole frame within ``timeout_s``.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        left = memoryview(frame)
        while left:
            try:
                left = left[os.write(self._write_fd, left) :]
            except BlockingIOError:
                _wait(self._writable, deadline_s)

    def receive(self, timeout_s: float | None = None, begun: bytes = b"") -> tuple[Kind, bytes]:
        """The next frame, of which ``begun`` was read already. After a TimeoutError, another call goes on from there.

        Raises:
            EOFError: the other side closed its end.
            TimeoutError: no whole frame within ``timeout_s``.
            ProtocolError: what came is no frame.
        """
        if len(begun) >= _HEADER.size and not self._buffer:  # mostly it is all of it
            length, kind = _HEADER.unpack_from(begun)
            if len(begun) == _HEADER.size + length and kind in self._expected:
                return self._expected[kind], begun[_HEADER.size :]
        self._buffer += begun
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        self._fill(_HEADER.size, deadline_s)
        length, kind = _HEADER.unpack_from(self._buffer)
        if length > self._max_body_bytes or kind not in self._expected:
            raise ProtocolError(f"not a frame: {bytes(self._buffer[:80])!r}")
        end = _HEADER.size + length
        self._fill(end, deadline_s)
        body = bytes(memoryview(self._buffer)[_HEADER.size : end])
        del self._buffer[:end]
        return self._expected[kind], body

    def _fill(self, size_bytes: int, deadline_s: float | None) -> None:
        """Read until ``size_bytes`` are in the buffer."""
        while (missing := size_bytes - len(self._buffer)) > 0:
            if deadline_s is not None:
                _wait(self._readable, deadline_s)
            chunk = os.read(self._read_fd, min(max(missing, _READ_BYTES), _PIPE_BYTES))
            if not chunk:
                raise EOFError
            self._buffer += chunk


def pack_frame(kind: Kind, *parts: Buffer, most_bytes: int = MAX_BODY_BYTES) -> bytes:
    """Header and body, which is ``parts`` one after another. Raises ProtocolError where that is too long."""
    length = sum(map(len, parts))
    if length > most_bytes:
        raise ProtocolError(f"{length} bytes are too many for one frame, which takes {most_bytes}")
    return b"".join((_HEADER.pack(length, kind), *parts))


def _wait(poll: select.poll, deadline_s: float | None) -> None:
    left_ms = None if deadline_s is None else min(1e9, max(0.0, deadline_s - time.monotonic()) * 1e3)
    if not poll.poll(left_ms):
        raise TimeoutError


def lay_out(shapes: Iterable[Sequence[int]], item_bytes: Iterable[int]) -> tuple[tuple[Slot, ...], int]:
    """Aligned places for tensors one after another, and the bytes they need together."""
    slots = []
    end = 0
    for shape, size in zip(shapes, item_bytes, strict=True):
        slots.append(Slot(end, tuple(shape)))
        end += -(-_volume(shape) * size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    return tuple(slots), end


def pack_layout(slots: Sequence[Slot]) -> bytes:
    parts = [_COUNT.pack(len(slots))]
    for slot in slots:
        parts.append(_SLOT.pack(slot.offset, len(slot.shape)))
        parts.append(struct.pack(f"<{len(slot.shape)}Q", *slot.shape))
    return b"".join(parts)


def split_layout(body: memoryview) -> tuple[memoryview, memoryview]:
    """``u32 layout length, layout, data`` taken apart. Raises ProtocolError where it is not that long."""
    if len(body) < _LAYOUT_BYTES.size:
        raise ProtocolError(f"{len(body)} bytes are too few for a layout of tensors")
    end = _LAYOUT_BYTES.size + _LAYOUT_BYTES.unpack_from(body)[0]
    if end > len(body):
        raise ProtocolError(f"a layout that ends at byte {end} came in a body of {len(body)}")
    return body[_LAYOUT_BYTES.size : end], body[end:]


def join_layout(layout: bytes) -> bytes:
    """``layout`` with its length before it, as RUN and RAN carry it."""
    return _LAYOUT_BYTES.pack(len(layout)) + layout


def unpack_layout(body: bytes) -> tuple[Slot, ...]:
    """Raises ProtocolError where ``body`` is no layout."""
    try:
        return _read_slots(body)
    except struct.error as error:
        raise ProtocolError(f"not a layout of tensors: {error}") from error


def _read_slots(body: bytes) -> tuple[Slot, ...]:
    (count,) = _COUNT.unpack_from(body)
    at = _COUNT.size
    slots = []
    for _ in range(count):
        offset, rank = _SLOT.unpack_from(body, at)
        at += _SLOT.size
        slots.append(Slot(offset, struct.unpack_from(f"<{rank}Q", body, at)))
        at += 8 * rank
    if at != len(body):
        raise ProtocolError(f"a layout of {at} bytes came in a frame of {len(body)}")
    return tuple(slots)


def _volume(shape: Sequence[int]) -> int:
    volume = 1
    for size in shape:
        volume *= size
    return volume
