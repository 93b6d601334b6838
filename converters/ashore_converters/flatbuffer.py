"""Read tables of a flatbuffer by field number, with every offset checked against the buffer's end.

The format is documented at https://flatbuffers.dev/internals: little endian; a table starts with the distance back to
its vtable, which holds, for each field, its distance from the table's start, or zero where the field is absent.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass


class Malformed(ValueError):
    """An offset points outside of the buffer."""


@dataclass(frozen=True)
class Table:
    """One table of ``data``. Fields are numbered from 0 in the schema's order; a union takes two numbers."""

    data: memoryview
    position: int

    def u8(self, field: int, default: int = 0) -> int:
        return self._scalar(field, "<B", default)

    def i8(self, field: int, default: int = 0) -> int:
        return self._scalar(field, "<b", default)

    def u16(self, field: int, default: int = 0) -> int:
        return self._scalar(field, "<H", default)

    def i32(self, field: int, default: int = 0) -> int:
        return self._scalar(field, "<i", default)

    def u32(self, field: int, default: int = 0) -> int:
        return self._scalar(field, "<I", default)

    def u64(self, field: int, default: int = 0) -> int:
        return self._scalar(field, "<Q", default)

    def table(self, field: int) -> Table | None:
        at = self._field(field)
        return Table(self.data, at + _read(self.data, "<I", at)) if at else None

    def tables(self, field: int) -> list[Table]:
        start, count = self._vector(field)
        places = [start + 4 * i for i in range(self._fitting(start, count, 4))]
        return [Table(self.data, place + _read(self.data, "<I", place)) for place in places]

    def string(self, field: int) -> str:
        return bytes(self.bytes(field)).decode("utf-8", "replace")

    def bytes(self, field: int) -> memoryview:
        start, count = self._vector(field)
        return self.data[start : start + self._fitting(start, count, 1)]

    def ints(self, field: int, code: str = "i") -> tuple[int, ...]:
        """A vector of numbers of struct's format ``code``."""
        start, count = self._vector(field)
        self._fitting(start, count, struct.calcsize(f"<{code}"))
        return struct.unpack_from(f"<{count}{code}", self.data, start)

    def length(self, field: int) -> int:
        return self._vector(field)[1]

    def _scalar(self, field: int, code: str, default: int) -> int:
        at = self._field(field)
        return _read(self.data, code, at) if at else default

    def _field(self, field: int) -> int:
        vtable = self.position - _read(self.data, "<i", self.position)
        entry = 4 + 2 * field
        if entry >= _read(self.data, "<H", vtable):
            return 0
        distance = _read(self.data, "<H", vtable + entry)
        return self.position + distance if distance else 0

    def _vector(self, field: int) -> tuple[int, int]:
        at = self._field(field)
        if not at:
            return 0, 0
        start = at + _read(self.data, "<I", at)
        return start + 4, _read(self.data, "<I", start)

    def _fitting(self, start: int, count: int, size: int) -> int:
        if start + count * size > len(self.data):
            raise Malformed(f"a list of {count} elements at byte {start} runs past the end at byte {len(self.data)}")
        return count


def root(data: memoryview) -> Table:
    return Table(data, _read(data, "<I", 0))


def _read(data: memoryview, code: str, at: int) -> int:
    if at < 0 or at + struct.calcsize(code) > len(data):
        raise Malformed(f"offset {at} is outside of the file's {len(data)} bytes")
    value: int = struct.unpack_from(code, data, at)[0]
    return value
