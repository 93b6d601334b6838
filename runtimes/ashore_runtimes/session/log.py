"""What a child's libraries print, kept for error messages."""

from __future__ import annotations

import os

from ashore_runtimes.wire.shared import anonymous_file

LAST_WORDS_BYTES = 2048
_FULL_BYTES = 1 << 20


class Log:
    """The standard error of a child, in a file without a name: nothing to drain, nothing to leave behind."""

    def __init__(self) -> None:
        self.fd = anonymous_file("ashore-log")
        # The child appends, so that emptying the file under it works.
        _append_only(self.fd)
        self._mark_bytes = 0

    def mark(self) -> None:
        """What is printed from here on belongs to the next request."""
        self._mark_bytes = os.lseek(self.fd, 0, os.SEEK_END)  # before every run, and cheaper than fstat
        if self._mark_bytes > _FULL_BYTES:
            os.ftruncate(self.fd, 0)
            self._mark_bytes = 0

    def last_words(self) -> str:
        """The end of what was printed since the mark, in whole lines, at most ``LAST_WORDS_BYTES``."""
        size_bytes = os.fstat(self.fd).st_size
        begin = max(self._mark_bytes, size_bytes - LAST_WORDS_BYTES)
        words = os.pread(self.fd, LAST_WORDS_BYTES, begin).decode("utf-8", "replace")
        if begin > self._mark_bytes:
            words = words.partition("\n")[2]
        return words.strip()

    def close(self) -> None:
        os.close(self.fd)


def _append_only(fd: int) -> None:
    import fcntl

    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
