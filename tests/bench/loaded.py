"""Sessions of ashore as contenders: the engine's own time, with inputs that stay where they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from turns import Contender

import ashore
from ashore.interfaces import Session


@contextmanager
def loaded(files: Mapping[str, Path]) -> Iterator[dict[str, Contender]]:
    """Each file in a session of its own, at one thread, after a first run on ones."""
    with ExitStack() as sessions:
        yield {name: _contender(sessions.enter_context(ashore.open_session(path))) for name, path in files.items()}


def _contender(session: Session) -> Contender:
    session.run({spec.name: np.ones(spec.shape, spec.dtype) for spec in session.inputs})
    return lambda count: [ns / 1000 for ns in session.repeat(count)]
