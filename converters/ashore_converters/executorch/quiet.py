"""Keep what the converters' libraries say among themselves off the user's terminal."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

_TALKATIVE = ("torch", "torch.export", "torch.fx", "torch.utils._pytree", "torchao", "executorch")


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence Python warnings, prints, progress bars and the loggers of torch, torchao and executorch while it lasts.

    Importing these libraries warns of optional parts that are absent, and lowering prints deprecations, progress
    bars and debugging hints that a user of ashore can do nothing about. Failures still arrive as exceptions.
    """
    with warnings.catch_warnings(), _levels(), _root_handlers(), _discarded_prints():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _discarded_prints() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def _levels() -> Iterator[None]:
    """The root logger too: executorch's passes log through it directly."""
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in _TALKATIVE)]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _root_handlers() -> Iterator[None]:
    """The XNNPACK partitioner calls ``logging.basicConfig`` on import, which would change the program's logging."""
    before = logging.root.handlers[:]
    try:
        yield
    finally:
        logging.root.handlers[:] = before
