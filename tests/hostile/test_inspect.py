"""``inspect`` parses in the caller's own process: no file may hold it up, or fill its memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

import ashore
from ashore import ArtifactError
from hostile.aliasing import alias_bombs

MANY = 1000
BOMBS = [
    (suffix, *bomb)
    for backend, suffix in (("executorch", ".pte"), ("litert", ".tflite"))
    for bomb in alias_bombs(backend, MANY)
]


@pytest.mark.parametrize(("suffix", "name", "content"), BOMBS, ids=[f"{bomb[1]}{bomb[0]}" for bomb in BOMBS])
def test_a_file_that_says_the_same_a_million_times_is_given_up(
    suffix: str, name: str, content: bytes, tmp_path: Path
) -> None:
    file = tmp_path / f"{name}{suffix}"
    file.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError, match=r"is damaged.*(many times that size|dimensions|buffers of \d+ bytes)"):
            ashore.inspect(file)
        assert tracemalloc.get_traced_memory()[1] < 100 * len(content) + (8 << 20)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("suffix", [".pte", ".tflite"])
def test_a_file_of_a_terabyte_of_nothing_is_not_read_into_memory(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"sparse{suffix}"
    identifier = b"ET12" if suffix == ".pte" else b"TFL3"
    file.write_bytes(bytes(4) + identifier)
    with file.open("r+b") as opened:
        opened.truncate(1 << 40)
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError, match=r"sparse\.\w+ (is damaged|has no method)"):
            ashore.inspect(file)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
