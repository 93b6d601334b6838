from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ashore.types.conversion import UndelegatedOp
from ashore_converters.litert import trial as litert_trial
from ashore_converters.litert.trial import Node, judge, try_file


def test_operators_between_a_calls_inputs_and_outputs_are_inside() -> None:
    """Tensor 9 is a constant; the lookup's result 1 enters the first call, its 3 leaves it for the sort."""
    trial = judge(
        [
            Node("GATHER", (0,), (1,)),
            Node("CONV_2D", (1, 9), (2,)),
            Node("RELU", (2,), (3,)),
            Node("TOPK_V2", (3,), (4,)),
            Node("MUL", (4,), (5,)),
            Node("ADD", (3, 5), (6,)),
            Node("DELEGATE", (1, 9), (3,)),
            Node("DELEGATE", (3, 4), (6,)),
        ]
    )
    assert trial.delegation is not None
    assert (trial.delegation.delegated, trial.delegation.total, trial.delegation.partitions) == (4, 6, 2)
    assert trial.delegation.undelegated == (UndelegatedOp("GATHER", 1), UndelegatedOp("TOPK_V2", 1))
    assert trial.outside == {0, 3}


def test_a_file_that_does_not_load_is_a_problem_in_the_interpreters_words(tmp_path: Path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"\x1c\x00\x00\x00TFL3 and then nothing of use")
    trial = try_file(broken)
    assert trial.delegation is None
    assert trial.problem


def test_a_process_that_dies_costs_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killer = tmp_path / "killer"
    killer.write_text("#!/bin/sh\nkill -SEGV $$\n")
    killer.chmod(0o755)
    monkeypatch.setattr(litert_trial.sys, "executable", str(killer))
    assert try_file(tmp_path / "any.tflite").problem == "the interpreter's process died with signal 11: no message"
    assert sys.executable == str(killer)
