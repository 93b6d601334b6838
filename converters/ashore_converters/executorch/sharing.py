"""A weight that a .pte file holds twice, for a kernel of the program and for its delegate, is held once.

An embedding tied to a linear layer is the case that matters: the embedding reads its weight from the program's
constants, and XNNPACK has a segment of its own with the very same bytes. A segment is no more than an offset and a
size, so that it can lie inside of another.
"""

from __future__ import annotations

import struct
from pathlib import Path

from ashore_converters.executorch.file import HEADER, Program, read_program
from ashore_converters.flatbuffer import Table

_SEGMENTS, _CONSTANTS, _NAMED_DATA = 4, 5, 7
_OFFSET = 0
_LEAST_BYTES = 1024
"""Less is not worth it."""
_ALIGNMENT_BYTES = 128
"""Of a segment, as executorch lays them out."""


def share_weights(path: Path) -> None:
    """Rewrite the file where something can be shared; else leave it as it is."""
    program = read_program(path)
    inside = _equal_constants(program)
    if inside:
        path.write_bytes(_laid_out_anew(program, inside))


def _equal_constants(program: Program) -> dict[int, int]:
    """Segment of named data -> where in the constants, which are the first segment, the same bytes lie."""
    constants = program.root.table(_CONSTANTS)
    if constants is None or constants.u32(0) != 0 or not len(program.root.tables(_SEGMENTS)):
        return {}
    held, offsets = program.segment(0), sorted(set(constants.ints(1, "Q")))
    found = {}
    for index in {entry.u32(1) for entry in program.root.tables(_NAMED_DATA)}:
        data = program.segment(index)
        if len(data) < _LEAST_BYTES:
            continue
        if (at := next((at for at in offsets if held[at : at + len(data)] == data), None)) is not None:
            found[index] = at
    return found


def _laid_out_anew(program: Program, inside: dict[int, int]) -> bytes:
    head, body = bytearray(program.data[: program.base]), bytearray()
    for index, segment in enumerate(program.root.tables(_SEGMENTS)):
        offset = inside.get(index)
        if offset is None:
            body += bytes(-len(body) % _ALIGNMENT_BYTES)
            offset = len(body)
            body += program.segment(index)
        _put(head, segment, offset)
    magic, length, program_bytes, base, _ = HEADER.unpack_from(head, 8)
    HEADER.pack_into(head, 8, magic, length, program_bytes, base, len(body))
    return bytes(head + body)


def _put(head: bytearray, segment: Table, offset: int) -> None:
    """An offset of 0 is left out of the file, and only ever the first segment's, which stays where it is."""
    if segment.u64(_OFFSET) != offset:
        struct.pack_into("<Q", head, segment.place(_OFFSET), offset)
