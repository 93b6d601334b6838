"""One turn of a conversation, a request and its answer, taken by the library of native/turn.cpp."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path
from select import PIPE_BUF

_ANSWER_BYTES = 1 << 12
_GLANCE_NS = 30_000
"""Between two rehearsals. Shorter glances would find no answer sooner, and longer ones leave the caches to others."""


class _Memory(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size_bytes", ctypes.c_size_t))


class _Conversation(ctypes.Structure):
    _fields_ = (
        ("requests_fd", ctypes.c_int),
        ("answers_fd", ctypes.c_int),
        ("answer", _Memory),
        ("inputs", _Memory),
        ("late_at_ns", ctypes.c_uint64),
    )


class NativeTurn:
    """Takes turns on two pipes: Python's part of a run is then small."""

    def __init__(self, library: Path, requests_fd: int, answers_fd: int) -> None:
        functions = ctypes.CDLL(str(library))
        self._turn, self._glance = functions.ashore_turn, functions.ashore_glance
        self._turn.restype = self._glance.restype = ctypes.c_int64
        self._turn.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64)
        self._glance.argtypes = (ctypes.c_void_p, ctypes.c_uint64)
        self._answer = bytearray(_ANSWER_BYTES)
        self._read = memoryview(self._answer)
        answer = _Memory(ctypes.addressof(ctypes.c_char.from_buffer(self._answer)), _ANSWER_BYTES)
        self._with = _Conversation(requests_fd, answers_fd, answer, _Memory(None, 0), 0)
        self._with_at = ctypes.addressof(self._with)

    def inputs_at(self, address: int, size_bytes: int) -> None:
        """Where inputs of the coming runs are written, to have that memory at hand when it is needed."""
        self._with.inputs = _Memory(address, size_bytes)

    def take(self, request: bytes, due_s: float, rehearse: Callable[[], object]) -> bytes | None:
        """Send ``request``, watch for its answer until shortly after it is due, and read the beginning of it.

        ``rehearse`` is called again and again while the answer is about to come. Whatever code it runs, and memory it
        reads, is then at hand: after a model has run, a processor's caches hold little else, and the same lines of
        Python take it ten times longer.

        Empty where the answer did not come by then; None where nothing was sent.

        Raises:
            EOFError, BrokenPipeError: the other side is gone.
        """
        if len(request) > PIPE_BUF:
            return None
        got: int = self._turn(self._with_at, request, len(request), int(due_s * 1e9))
        while got == -errno.EINPROGRESS:
            rehearse()
            got = self._glance(self._with_at, _GLANCE_NS)
        return bytes(self._read[:got]) if got > 0 else _without_answer(got)


def _without_answer(code: int) -> bytes | None:
    if code == 0:
        raise EOFError
    if code == -errno.EAGAIN:
        return None
    if code in (-errno.ETIME, -errno.EINTR):
        return b""
    raise OSError(-code, os.strerror(-code))
