"""Where things lie in a model file: which bytes are header, graph, payload and weights; where sizes and offsets stand.

Walks the flatbuffers by a description of their tables, and knows nothing of the code under test.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

Fields = dict[int, str]
"""Field number -> what it is: ``n4`` a number of 4 bytes, ``v4`` a vector of such, ``t:X`` a table, ``T:X`` a vector
of tables, ``u:`` the table of a union whose kind is the byte before; a word after a space names the numbers."""

_PTE: dict[str, Fields] = {
    "root": {0: "n4", 1: "T:plan", 2: "T:buffer", 3: "T:buffer", 4: "T:segment", 5: "t:part", 7: "T:named"},
    "plan": {
        0: "v1",
        1: "t:meta",
        2: "T:value",
        3: "v4",
        4: "v4",
        5: "T:chain",
        6: "T:operator",
        7: "T:delegate",
        8: "v8 plan",
    },
    "meta": {0: "v1", 1: "v1"},
    "buffer": {0: "v1"},
    "segment": {0: "n8 offset", 1: "n8 size"},
    "part": {0: "n4", 1: "v8 offset"},
    "named": {0: "v1", 1: "n4"},
    "value": {0: "n1 kind", 1: "u:2=int,3=int,5=tensor,7=list,10=places,11=places"},
    "int": {0: "n8 int"},
    "list": {0: "v8 shape"},
    "places": {0: "v4"},
    "tensor": {0: "n1", 1: "n4", 2: "v4 shape", 3: "v1", 5: "n4", 6: "t:allocation", 8: "n1"},
    "allocation": {0: "n4", 1: "n4 offset", 2: "n4 offset"},
    "chain": {0: "v4", 1: "v4", 2: "T:instruction"},
    "instruction": {0: "n1 instruction", 1: "u:1=call,2=call"},
    "call": {0: "n4 call", 1: "v4"},
    "operator": {0: "v1", 1: "v1"},
    "delegate": {0: "v1", 1: "t:reference", 2: "T:spec"},
    "reference": {0: "n1", 1: "n4"},
    "spec": {0: "v1", 1: "v1"},
}

_XNNPACK: dict[str, Fields] = {
    "root": {0: "v1", 1: "T:node", 2: "T:value", 3: "n4", 4: "v4", 5: "v4", 6: "T:buffer", 7: "v4", 8: "T:constant"},
    "buffer": {0: "v1"},
    "constant": {0: "n8 offset", 1: "n8 size"},
    "node": {0: "n1", 1: "u:", 2: "n4"},
    "value": {0: "n1", 1: "u:1=tensor,2=quantized"},
    "quantized": {0: "t:tensor"},
    "tensor": {0: "n2", 1: "n4 shape", 2: "v4 shape", 3: "n4", 4: "n4", 5: "n4", 6: "n4"},
}
_TFLITE: dict[str, Fields] = {
    "root": {0: "n4", 1: "T:code", 2: "T:graph", 3: "v1", 4: "T:buffer", 5: "v4", 6: "T:metadata", 7: "T:signature"},
    "code": {0: "n1", 1: "v1", 2: "n4", 3: "n4"},
    "graph": {0: "T:tensor", 1: "v4", 2: "v4", 3: "T:op", 4: "v1"},
    "tensor": {0: "v4 shape", 1: "n1", 2: "n4", 3: "v1", 4: "t:quantization", 7: "v4 shape"},
    "quantization": {0: "v4", 1: "v4", 2: "v4", 3: "v8", 6: "n4"},
    "op": {0: "n4", 1: "v4", 2: "v4", 3: "n1", 4: "u:"},
    "buffer": {0: "v1 weights", 1: "n8 offset", 2: "n8 size"},
    "metadata": {0: "v1", 1: "n4"},
    "signature": {0: "T:pair", 1: "T:pair", 2: "v1", 4: "n4"},
    "pair": {0: "v1", 1: "n4"},
}


@dataclass(frozen=True)
class Place:
    """A number in the file. ``role``: ``length`` of a vector, ``offset``, ``shape``, or another word of the tables."""

    role: str
    position: int
    width: int


@dataclass
class Map:
    """``regions``: ``header``, ``graph``, ``payload`` and ``weights`` -> the positions of their bytes."""

    places: list[Place] = field(default_factory=list)
    regions: dict[str, list[int]] = field(default_factory=dict)

    def of(self, *roles: str) -> list[Place]:
        return [place for place in self.places if place.role in roles]


def read_map(content: bytes, backend: str) -> Map:
    return _map_pte(content) if backend == "executorch" else _map_tflite(content)


def _map_tflite(content: bytes) -> Map:
    places = list(_walk(content, 0, _TFLITE))
    weights = {
        at for place in places if place.role == "weights" for at in range(place.position, place.position + place.width)
    }
    graph = [at for at in range(8, len(content)) if at not in weights]
    return Map(places, {"header": list(range(8)), "graph": graph, "weights": sorted(weights)})


def _map_pte(content: bytes) -> Map:
    program_bytes, base = struct.unpack_from("<QQ", content, 16)
    places = list(_walk(content, 0, _PTE))
    regions: dict[str, list[int]] = {"header": list(range(40)), "graph": list(range(40, program_bytes))}
    regions |= {"payload": [], "weights": []}
    at = content.find(b"XH00")
    end = base
    while at >= 0:
        start = at - 4
        offset, size = struct.unpack_from("<II", content, start + 10)
        constants, constant_bytes = struct.unpack_from("<IQ", content, start + 18)
        places += _walk(content, start + offset, _XNNPACK)
        regions["payload"] += range(start, start + offset + size)
        regions["weights"] += range(start + constants, start + constants + constant_bytes)
        end = start + offset + size
        at = content.find(b"XH00", end)
    known = {*regions["payload"], *regions["weights"]}
    regions["weights"] += [place for place in range(end, len(content)) if place not in known]
    return Map(places, {name: found for name, found in regions.items() if found})


def _walk(content: bytes, start: int, tables: dict[str, Fields]) -> Iterator[Place]:
    yield Place("offset", start, 4)
    yield from _table(content, start + _u32(content, start), tables, "root")


def _table(content: bytes, at: int, tables: dict[str, Fields], name: str) -> Iterator[Place]:
    yield Place("offset", at, 4)
    vtable = at - struct.unpack_from("<i", content, at)[0]
    size = struct.unpack_from("<H", content, vtable)[0]
    for number, word in tables[name].items():
        entry = 4 + 2 * number
        distance = struct.unpack_from("<H", content, vtable + entry)[0] if entry < size else 0
        if distance:
            yield Place("field", vtable + entry, 2)
            yield from _field(content, at + distance, tables, word, at)


def _field(content: bytes, at: int, tables: dict[str, Fields], word: str, table: int) -> Iterator[Place]:
    kind, role = (f"{word} number".split(" "))[:2]
    if kind[0] == "n":
        yield Place(role, at, int(kind[1:]))
        return
    yield Place("offset", at, 4)
    target = at + _u32(content, at)
    if kind[0] == "t":
        yield from _table(content, target, tables, kind[2:])
    elif kind[0] == "u":
        yield from _union(content, target, tables, kind[2:], table)
    else:
        yield from _vector(content, target, tables, kind, role)


def _union(content: bytes, target: int, tables: dict[str, Fields], kinds: str, table: int) -> Iterator[Place]:
    vtable = table - struct.unpack_from("<i", content, table)[0]
    where = struct.unpack_from("<H", content, vtable + 4)[0]
    known = dict(kind.split("=") for kind in kinds.split(",") if kind)
    if name := known.get(str(content[table + where])):
        yield from _table(content, target, tables, name)


def _vector(content: bytes, at: int, tables: dict[str, Fields], kind: str, role: str) -> Iterator[Place]:
    yield Place("length", at, 4)
    count, first = _u32(content, at), at + 4
    if kind[0] == "T":
        for place in range(first, first + 4 * count, 4):
            yield Place("offset", place, 4)
            yield from _table(content, place + _u32(content, place), tables, kind[2:])
    elif role == "weights":
        yield Place(role, first, count)
    elif int(kind[1:]) > 1:
        yield from (Place(role, first + int(kind[1:]) * index, int(kind[1:])) for index in range(count))


def _u32(content: bytes, at: int) -> int:
    value: int = struct.unpack_from("<I", content, at)[0]
    return value
