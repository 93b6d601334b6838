"""One turn of a conversation, a request and its answer, taken by the library of native/turn.cpp."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from select import PIPE_BUF

_ANSWER_BYTES = 1 << 12


class NativeTurn:
    """Takes turns on two pipes: Python's part of a run is then small."""

    def __init__(self, library: Path, requests_fd: int, answers_fd: int) -> None:
        self._take = ctypes.CDLL(str(library)).ashore_turn
        self._take.restype = ctypes.c_int64
        size, pointer = ctypes.c_size_t, ctypes.c_void_p
        self._take.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_char_p, size, ctypes.c_uint64, pointer, size)
        self._fds = (requests_fd, answers_fd)
        self._answer = bytearray(_ANSWER_BYTES)
        self._answer_at = ctypes.addressof(ctypes.c_char.from_buffer(self._answer))

    def take(self, request: bytes, due_s: float) -> bytes | None:
        """Send ``request``, watch for its answer as ``watch`` does, and read the beginning of it.

        Empty where the answer did not come soon after it was due; None where nothing was sent.

        Raises:
            EOFError, BrokenPipeError: the other side is gone.
        """
        if len(request) > PIPE_BUF:
            return None
        got: int = self._take(*self._fds, request, len(request), int(due_s * 1e9), self._answer_at, _ANSWER_BYTES)
        if got > 0:
            return bytes(memoryview(self._answer)[:got])
        return _without_answer(got)


def _without_answer(code: int) -> bytes | None:
    if code == 0:
        raise EOFError
    if code == -errno.EAGAIN:
        return None
    if code in (-errno.ETIME, -errno.EINTR):
        return b""
    raise OSError(-code, os.strerror(-code))
