"""Sessions with the runner of one's choice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from files import Files
from turns import Contender

import ashore
from ashore.interfaces import Session

RUNNERS = ("native", "python")


@contextmanager
def opened(runner: str, file: Path) -> Iterator[Session]:
    """At one thread."""
    os.environ["ASHORE_RUNNER"] = runner
    try:
        session = ashore.open_session(file, threads=1)
    finally:
        del os.environ["ASHORE_RUNNER"]
    with session:
        yield session


@contextmanager
def fed(runner: str, file: Path, files: Files) -> Iterator[Session]:
    """Has run once, so that it can repeat."""
    with opened(runner, file) as session:
        session.run({session.inputs[0].name: files.picture})
        yield session


def repeated(session: Session) -> Contender:
    """By the runner's own clock, as profiles are measured."""
    return lambda runs: [ns / 1000 for ns in session.repeat(runs)]
