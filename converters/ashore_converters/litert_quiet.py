"""Keep the LiteRT libraries' own chatter away from the user's terminal.

They write in four ways, each silenced where it enters: Python warnings, records on the root logger (whose first use
would also install a handler in the user's process), absl records, and C++ code that writes to file descriptor 2.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator

_LIBRARIES = ("litert", "ai_edge", "torchao", "jax", f"torch{os.sep}utils{os.sep}_pytree")
"""Parts of a source path by which a log record is known to come from below."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence everything the libraries say on their own account; errors still come as exceptions."""
    with warnings.catch_warnings(), _quiet_loggers(), _quiet_descriptor():
        warnings.simplefilter("ignore")  # of torch.export, jax and the pickling of torch's own tree specs
        yield


@contextlib.contextmanager
def _quiet_loggers() -> Iterator[None]:
    keep_root_unconfigured = logging.NullHandler()
    root, libraries = logging.getLogger(), [logging.getLogger(name) for name in ("absl", "torchao", "torch", "jax")]
    levels = [logger.level for logger in libraries]
    root.addFilter(_is_ours)
    root.addHandler(keep_root_unconfigured)
    for logger in libraries:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        root.removeFilter(_is_ours)
        root.removeHandler(keep_root_unconfigured)
        for logger, level in zip(libraries, levels, strict=True):
            logger.setLevel(level)


def _is_ours(record: logging.LogRecord) -> bool:
    return not any(part in record.pathname for part in _LIBRARIES)


@contextlib.contextmanager
def _quiet_descriptor() -> Iterator[None]:
    """Point descriptor 2 at nothing for C++, while Python's sys.stderr (a progress display's) keeps its way out."""
    if not _is_descriptor_2(sys.stderr):
        with _descriptor_2_closed():
            yield
        return
    python_stderr = sys.stderr
    python_stderr.flush()
    with os.fdopen(os.dup(2), "w", buffering=1, encoding=python_stderr.encoding, errors="backslashreplace") as way_out:
        sys.stderr = way_out
        try:
            with _descriptor_2_closed():
                yield
        finally:
            sys.stderr = python_stderr


def _is_descriptor_2(stream: object) -> bool:
    try:
        return isinstance(stream, io.TextIOBase) and stream.fileno() == 2
    except (OSError, ValueError):  # a captured or closed stream has no descriptor
        return False


@contextlib.contextmanager
def _descriptor_2_closed() -> Iterator[None]:
    try:
        saved = os.dup(2)
    except OSError:  # a daemon without standard error: nothing to silence
        yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    os.close(nothing)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
