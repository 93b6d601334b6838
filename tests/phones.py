"""Use of a phone in tests, and what to expect of one that fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ashore
from ashore.errors import AshoreError
from device import Phone

ONES = np.ones((2, 3), np.int8)


def target_id(phone: Phone) -> str:
    return f"adb:{phone.serial}"


def use(phone: Phone, file: Path, timeout_s: float = 60.0, meanwhile: Callable[[], object] | None = None) -> None:
    """Load the model that turns a matrix, and run it once; ``meanwhile`` is called between the two."""
    with ashore.open_session(file, target=target_id(phone), timeout_s=timeout_s) as session:
        if meanwhile is not None:
            meanwhile()
        (result,) = session.run({session.inputs[0].name: ONES}).values()
    np.testing.assert_array_equal(result, ONES.T)


def failure(kind: type[AshoreError], work: Callable[[], object]) -> AshoreError:
    """The error that ``work`` raises, which is of this very class and knows what to do next."""
    with pytest.raises(kind) as caught:
        work()
    assert type(caught.value) is kind and caught.value.hint
    return caught.value


def parts(phone: Phone) -> list[str]:
    """What broken pushes left on the phone."""
    return [path.name for path in phone.store.rglob("*.part-*")]


def models(phone: Phone) -> list[str]:
    """What bears the name of a model there."""
    return [path.name for path in (phone.store / "ashore/models").glob("*")]


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether ``condition`` comes true before patience ends."""
    for _ in range(300):
        if condition():
            return True
        time.sleep(0.05)
    return False
