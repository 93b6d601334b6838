"""Keep the LiteRT libraries' own chatter away from the user's terminal.

They write in four ways, each silenced where it enters: Python warnings, log records (of which the first on the root
logger would also install a handler in the user's process), progress bars on Python's own streams, and C++ code that
writes to file descriptors 1 and 2.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

_LOGGERS = ("absl", "torchao", "torch", "jax")
_SOURCES = ("litert", "ai_edge", "torchao", "jax")
"""Parts of a source path by which a record on the root logger is known to come from the libraries."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence everything the libraries say on this thread; errors still come as exceptions."""
    with warnings.catch_warnings(), _quiet_loggers(), _quiet_stream("stdout", 1), _quiet_stream("stderr", 2):
        warnings.simplefilter("ignore")  # of torch.export, jax and the pickling of torch's own tree specs
        yield


class _OtherThreadsOnly(io.TextIOBase):
    """Lets pass what other threads write, such as a progress display."""

    def __init__(self, way_out: Any) -> None:
        self._way_out, self._silenced = way_out, threading.get_ident()

    def write(self, text: str) -> int:
        if threading.get_ident() != self._silenced:
            self._way_out.write(text)
        return len(text)

    def flush(self) -> None:
        self._way_out.flush()

    def isatty(self) -> bool:
        return bool(self._way_out.isatty())

    def fileno(self) -> int:
        return int(self._way_out.fileno())

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has an attribute here
        return str(self._way_out.encoding)


@contextlib.contextmanager
def _quiet_stream(name: str, descriptor: int) -> Iterator[None]:
    stream = getattr(sys, name)
    with contextlib.ExitStack() as stack:
        if stream is not None:
            stream.flush()
            way_out = stack.enter_context(_copy(stream)) if _writes_to(stream, descriptor) else stream
            setattr(sys, name, _OtherThreadsOnly(way_out))
            stack.callback(setattr, sys, name, stream)
        stack.enter_context(_closed(descriptor))
        yield


def _copy(stream: Any) -> Any:
    """The same terminal or file by another descriptor."""
    copy = os.dup(stream.fileno())
    return open(copy, "w", buffering=1, encoding=stream.encoding, errors="backslashreplace")  # noqa: PTH123 - no path


def _writes_to(stream: Any, descriptor: int) -> bool:
    try:
        return bool(stream.fileno() == descriptor)
    except (OSError, ValueError, AttributeError):  # a captured or closed stream has no descriptor
        return False


@contextlib.contextmanager
def _closed(descriptor: int) -> Iterator[None]:
    try:
        saved = os.dup(descriptor)
    except OSError:  # a daemon without standard streams: nothing to silence
        yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)
    try:
        yield
    finally:
        os.dup2(saved, descriptor)
        os.close(saved)


@contextlib.contextmanager
def _quiet_loggers() -> Iterator[None]:
    keeps_root_unconfigured = logging.NullHandler()
    root, libraries = logging.getLogger(), [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in libraries]
    root.addFilter(_is_not_theirs)
    root.addHandler(keeps_root_unconfigured)
    for logger in libraries:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        root.removeFilter(_is_not_theirs)
        root.removeHandler(keeps_root_unconfigured)
        for logger, level in zip(libraries, levels, strict=True):
            logger.setLevel(level)


def _is_not_theirs(record: logging.LogRecord) -> bool:
    return not any(part in record.pathname for part in _SOURCES)
