"""What is wrong with a call of ``ashore diagnose`` is told before the long work."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import Command


@pytest.mark.parametrize("words", [("--to", "fake"), ("--recipe", "int8.toml")], ids=lambda words: str(words[0]))
def test_a_file_takes_no_other_backend_or_recipe(command: Command, fakes: dict, words: tuple[str, str]) -> None:
    del fakes
    told = command("diagnose", "net.fake", "--source", "net.py:model", *words)
    assert told.code == 2
    assert f"error: {words[0]} was given, but net.fake has a backend and a recipe of its own" in told.err
    assert "leave it out, or diagnose the source" in told.err


def test_a_drawing_that_cannot_be_written_is_told_first(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told = command("diagnose", "nowhere.py:model", "--plot", tmp_path / "file" / "layers.svg")
    assert told.code == 2
    assert "cannot be written" in told.err and "give another place with --plot" in told.err
