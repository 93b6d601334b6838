"""Ways to damage the bytes of a model file, all of them decided by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from hostile.original import Original
from hostile.places import Place

Damaged = tuple[str, str, bytes]
"""Kind of damage, where it is, the file's bytes."""

_SIZES = (0x7FFFFFFF, -1, 0x80000000, 0, 1 << 16, 1 << 24, 1 << 30, 255)
_LENGTHS = (0xFFFFFFFF, 0x7FFFFFFF, 0x40000000, 1 << 28, 1 << 20, 4096, 0)
_INT, _BOOL, _JUMP_IF_FALSE = 2, 3, 4
"""Of ExecuTorch's unions of values and of instructions."""
_OFFSETS = (0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0, 4, 1 << 16)


def damages(original: Original, chance: random.Random, share: float = 1.0) -> Iterator[Damaged]:
    """About 900 for ``share`` 1; fewer of each kind for less."""

    def some(count: int) -> int:
        return max(1, round(count * share))

    yield from _truncations(original.model, some(60))
    for region, positions in original.map.regions.items():
        yield from _flips(original.model, region, positions, chance, some(110 if region == "graph" else 60))
    yield from _bursts(original.model, chance, some(60))
    bombs: list[tuple[str, list[Place], tuple[int, ...], int]] = [
        ("bombs of shapes", original.map.of("shape"), _SIZES, 120),
        ("bombs of lengths", original.map.of("length"), _LENGTHS, 120),
        ("bombs of sizes", original.map.of("size", "plan"), _SIZES, 40),
        ("offsets out of range", original.map.of("offset", "field"), _OFFSETS, 150),
        ("numbers out of range", original.map.of("number", "call", "int", "instruction"), _SIZES, 80),
    ]
    for kind, places, values, count in bombs:
        yield from _overwrites(original.model, kind, places, values, chance, some(count))
    yield from _endless(original)
    yield from _foreign(original.model, chance, some(8))


def _truncations(content: bytes, count: int) -> Iterator[Damaged]:
    for length in sorted({len(content) * step // count for step in range(count)} | {1, 7, len(content) - 1}):
        yield "truncated", str(length), content[:length]
    yield "truncated", "lengthened", content + b"\0" * 4096


def _flips(content: bytes, region: str, positions: list[int], chance: random.Random, count: int) -> Iterator[Damaged]:
    for _ in range(count):
        at, bit = chance.choice(positions), chance.randrange(8)
        yield f"bits in {region}", f"{at}.{bit}", _replaced(content, at, bytes([content[at] ^ 1 << bit]))


def _bursts(content: bytes, chance: random.Random, count: int) -> Iterator[Damaged]:
    """Many bytes at once: noise, zeros and ones over a stretch, as broken disks and copies leave them."""
    fills: list[Callable[[int], bytes]] = [chance.randbytes, bytes, lambda size: b"\xff" * size]
    for index in range(count):
        at, size = chance.randrange(8, len(content)), chance.choice((2, 16, 256))
        yield "stretches", f"{at}+{size}", _replaced(content, at, fills[index % 3](size))


def _overwrites(
    content: bytes, kind: str, places: list[Place], values: tuple[int, ...], chance: random.Random, count: int
) -> Iterator[Damaged]:
    everywhere = [(place, value) for place in places for value in values]
    for place, value in chance.sample(everywhere, min(count, len(everywhere))):
        yield kind, f"{place.position}={value:#x}", overwritten(content, place, value)
    for value in values[: 2 if places else 0]:  # and all of them together
        damaged = content
        for place in places:
            damaged = overwritten(damaged, place, value)
        yield kind, f"all={value:#x}", damaged


def _endless(original: Original) -> Iterator[Damaged]:
    """A program that jumps back whenever a value is false, which it always is: valid, and never over."""
    places, content = original.map.places, original.model
    kinds = [index for index, place in enumerate(places) if place.role == "kind"]
    flag = next((nth for nth, index in enumerate(kinds) if content[places[index].position] == _INT), None)
    calls = [index for index, place in enumerate(places) if place.role == "call"]
    if flag is None or not calls:
        return
    number = next(place for place in places[kinds[flag] :] if place.role == "int")
    instruction = next(place for place in reversed(places[: calls[0]]) if place.role == "instruction")
    destination = next(place for place in places[calls[0] :] if place.role == "offset")
    for place, value in (
        (places[kinds[flag]], _BOOL),
        (number, 0),
        (instruction, _JUMP_IF_FALSE),
        (places[calls[0]], flag),
        (destination, 0),
    ):
        content = overwritten(content, place, value)
    yield "endless loops", str(calls[0]), content


def _foreign(content: bytes, chance: random.Random, count: int) -> Iterator[Damaged]:
    """Nothing of a model, or only its first bytes."""
    fixed = {
        "empty": b"",
        "zeros": bytes(len(content)),
        "text": b"Dear engine, " * 99,
        "zip": b"PK\3\4" + content,
        "header of noise": content[:40] + chance.randbytes(4000),
        "header of zeros": content[:40] + bytes(4000),
        "twice": content * 2,
        "from its middle": content[len(content) // 2 :],
    }
    for name in list(fixed)[:count]:
        yield "no model at all", name, fixed[name]


def overwritten(content: bytes, place: Place, value: int) -> bytes:
    return _replaced(content, place.position, (value % (1 << 8 * place.width)).to_bytes(place.width, "little"))


def _replaced(content: bytes, at: int, new: bytes) -> bytes:
    return (content[:at] + new + content[at + len(new) :])[: max(len(content), 0)]
