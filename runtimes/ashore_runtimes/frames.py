"""The wire between a session and its child process: small frames on pipes, tensors laid out in shared memory.

A frame is a little-endian header ``u32 body length, u8 kind`` and the body. Tensors never travel in a frame: it carries
their *layout*, that is where each one lies in a shared memory file and which shape it has:
``u16 tensors, then for each: u64 byte offset, u8 rank, u64 per dimension``. Element types are agreed when the model is
loaded and do not change. This module needs neither numpy nor ashore, so that a child starts quickly.
"""

from __future__ import annotations

import os
import select
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

_HEADER = struct.Struct("<IB")
_COUNT = struct.Struct("<H")
_SLOT = struct.Struct("<QB")
_READ_BYTES = 1 << 12
"""All but descriptions of models of many tensors fit; a larger buffer costs more to make than to fill."""
_ALIGNMENT_BYTES = 64
"""A cache line, and as much as any kernel asks of an input's address."""
MAX_BODY_BYTES = 1 << 24


class Kind(IntEnum):
    """What a frame means; requests come from the parent, answers from the child."""

    HELLO = 0x5A
    """Answer, unasked: the engine's libraries are imported. A rare value: a stray print must not look like it."""
    LOAD = 1
    """Request: the path of the model file."""
    LOADED = 2
    """Answer: JSON {inputs, outputs, load_ns}."""
    RUN = 3
    """Request: the layout of the inputs."""
    RAN = 4
    """Answer: u64 nanoseconds in the engine, then the layout of the outputs."""
    FAILED = 5
    """Answer: JSON {error, message}; the child goes on."""


_KINDS = {int(kind): kind for kind in Kind}


class ProtocolError(Exception):
    """Bytes arrived that are no frame."""


@dataclass(frozen=True)
class Slot:
    """Where a tensor lies in a shared memory file."""

    offset: int
    shape: tuple[int, ...]


class Channel:
    """Both directions of a conversation, on two file descriptors that it does not own."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._buffer = b""
        self._readable = select.poll()
        self._readable.register(read_fd, select.POLLIN)

    def send(self, kind: Kind, body: bytes = b"") -> None:
        """Raises BrokenPipeError where the other side is gone."""
        frame = _HEADER.pack(len(body), kind) + body
        sent = os.write(self._write_fd, frame)
        while sent < len(frame):
            sent += os.write(self._write_fd, frame[sent:])

    def receive(self, timeout_s: float | None = None) -> tuple[Kind, bytes]:
        """The next frame.

        Raises:
            EOFError: the other side closed its end.
            TimeoutError: no whole frame within ``timeout_s``.
            ProtocolError: what came is no frame.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while (frame := self._take_frame()) is None:
            self._read_more(deadline_s)
        return frame

    def _read_more(self, deadline_s: float | None) -> None:
        if deadline_s is not None:
            left_ms = max(0.0, deadline_s - time.monotonic()) * 1e3
            if not self._readable.poll(min(left_ms, 1e9)):
                raise TimeoutError
        chunk = os.read(self._read_fd, _READ_BYTES)
        if not chunk:
            raise EOFError
        self._buffer += chunk

    def _take_frame(self) -> tuple[Kind, bytes] | None:
        if len(self._buffer) < _HEADER.size:
            return None
        length, kind = _HEADER.unpack_from(self._buffer)
        if length > MAX_BODY_BYTES or kind not in _KINDS:
            raise ProtocolError(f"not a frame: {self._buffer[:80]!r}")
        end = _HEADER.size + length
        if len(self._buffer) < end:
            return None
        body, self._buffer = self._buffer[_HEADER.size : end], self._buffer[end:]
        return _KINDS[kind], body


def lay_out(shapes: Iterable[Sequence[int]], item_bytes: Iterable[int]) -> tuple[tuple[Slot, ...], int]:
    """Aligned places for tensors one after another, and the bytes they need together."""
    slots = []
    end = 0
    for shape, size in zip(shapes, item_bytes, strict=True):
        slots.append(Slot(end, tuple(shape)))
        end += -(-_volume(shape) * size // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
    return tuple(slots), end


def pack_layout(slots: Sequence[Slot]) -> bytes:
    parts = [_COUNT.pack(len(slots))]
    for slot in slots:
        parts.append(_SLOT.pack(slot.offset, len(slot.shape)))
        parts.append(struct.pack(f"<{len(slot.shape)}Q", *slot.shape))
    return b"".join(parts)


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
