"""Read tables of a flatbuffer by field number, with every offset checked against the buffer's end.

The format is documented at https://flatbuffers.dev/internals: little endian; a table starts with the distance back to
its vtable, which holds, for each field, its distance from the table's start, or zero where the field is absent.

Nothing in the format keeps a vector from naming one table a million times, and that one from holding a vector of its
own: a file of a few kilobytes can take the square of its size to read. Hence the budget, which all tables share.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_TABLE_BYTES = 12
"""The least that a table takes in a file: a reference, the distance to its vtable, and a field."""


class Malformed(ValueError):
    """An offset points outside of the buffer, or the same bytes are read again and again."""


class Budget:
    """How many bytes may be read of a file, each as often as it is: four times its size, and 64 MiB at the most.

    What a whole file holds, each part looked at a few times, stays far below.
    """

    def __init__(self, file_bytes: int) -> None:
        self._file_bytes = file_bytes
        self._left = min(4 * file_bytes, 1 << 26) + (1 << 16)

    def spend(self, size: int) -> None:
        """Raises Malformed where nothing is left."""
        self._left -= size
        if size < 0 or self._left < 0:
            raise Malformed(f"its {self._file_bytes} bytes tell of a model many times that size")


@dataclass(frozen=True)
class Table:
    """One table of ``data``. Fields are numbered from 0 in the schema's order; a union takes two numbers."""

    data: memoryview
    position: int
    budget: Budget

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

    def place(self, field: int) -> int:
        """Where in ``data`` a scalar lies; 0 where it is left out, and has its default value."""
        return self._field(field)

    def table(self, field: int) -> Table | None:
        at = self._field(field)
        return self._follow(at) if at else None

    def tables(self, field: int) -> Tables:
        start, count = self._vector(field)
        return Tables(self, start, self._fitting(start, count, 4))

    def string(self, field: int) -> str:
        text = self.bytes(field)
        self.budget.spend(len(text))
        return bytes(text).decode("utf-8", "replace")

    def bytes(self, field: int) -> memoryview:
        start, count = self._vector(field)
        return self.data[start : start + self._fitting(start, count, 1)]

    def ints(self, field: int, code: str = "i") -> tuple[int, ...]:
        """A vector of numbers of struct's format ``code``."""
        start, count = self._vector(field)
        size = struct.calcsize(f"<{code}")
        self.budget.spend(self._fitting(start, count, size) * size)
        return struct.unpack_from(f"<{count}{code}", self.data, start)

    def length(self, field: int) -> int:
        return self._vector(field)[1]

    def _follow(self, at: int) -> Table:
        self.budget.spend(_TABLE_BYTES)
        return Table(self.data, at + _read(self.data, "<I", at), self.budget)

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


@dataclass(frozen=True)
class Tables:
    """A vector of tables, read one by one as they are asked for."""

    _table: Table
    _start: int
    _count: int

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Table:
        if not 0 <= index < self._count:
            raise IndexError(f"element {index} of {self._count}")
        return self._table._follow(self._start + 4 * index)

    def __iter__(self) -> Iterator[Table]:
        return (self[index] for index in range(self._count))


def root(data: memoryview, budget: Budget | None = None) -> Table:
    """The outermost table; ``budget`` is that of the file that ``data`` is a part of."""
    return Table(data, _read(data, "<I", 0), budget or Budget(len(data)))


def _read(data: memoryview, code: str, at: int) -> int:
    if at < 0 or at + struct.calcsize(code) > len(data):
        raise Malformed(f"offset {at} is outside of the file's {len(data)} bytes")
    value: int = struct.unpack_from(code, data, at)[0]
    return value
