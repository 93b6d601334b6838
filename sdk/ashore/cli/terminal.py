"""Where the command's words go: results to stdout, everything else to stderr."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

_log = logging.getLogger("ashore")
"""Where the parts of ashore say what they are at, besides results and errors."""


class _ToStderr(logging.Handler):
    """To whatever stderr is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{self.format(record)}\n")


_TO_STDERR = _ToStderr()
_FILE_WIDTH = 140
"""Characters beside the first column of a table that no person looks at while it is written."""

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""Names in a model file may hold what a terminal would obey."""


class Terminal:
    """Keeps stdout for results alone, whatever the libraries underneath print."""

    def __init__(self) -> None:
        self._stdout_fd = 1
        self.json = "--json" in sys.argv

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Inside, file descriptor 1 leads to stderr, and only this object writes to the real stdout."""
        sys.stdout.flush()
        self._stdout_fd = os.dup(1)
        os.dup2(2, 1)
        _log.addHandler(_TO_STDERR)
        _log.setLevel(logging.INFO)
        try:
            yield
        finally:
            _log.removeHandler(_TO_STDERR)
            sys.stdout.flush()
            os.dup2(self._stdout_fd, 1)
            os.close(self._stdout_fd)
            self._stdout_fd = 1

    def show_json(self, document: object) -> None:
        self._write(json.dumps(document, indent=2, ensure_ascii=False))

    def show_text(self, text: str) -> None:
        self._write(_harmless(text))

    def _write(self, text: str) -> None:
        """Unbuffered, so that a full disk or a reader that left is noticed here and not at the end of the program."""
        # What is no Unicode, as in the path of a file, becomes an escape that JSON reads too.
        data = f"{text}\n".encode(errors="backslashreplace")
        while data:
            data = data[os.write(self._stdout_fd, data) :]

    def show_table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Numbers, which columns after the first mostly are, align right."""
        from rich.console import Console
        from rich.table import Table

        on_screen, drawn = os.isatty(self._stdout_fd), io.StringIO()
        table = Table()
        for index, column in enumerate(columns):
            # In a file or a pipe nobody can widen the window, and a name cut in two is found by no search.
            whole = index == 0 and not on_screen
            numeric = index > 0 and all(row[index][:1].isdigit() or row[index] in ("", "-") for row in rows)
            table.add_column(column, justify="right" if numeric else "left", overflow="fold", no_wrap=whole)
        for row in rows:
            table.add_row(*map(_harmless, row))
        # Words are shown as they are: in rich's own markup, "ashore[litert]" would lose its brackets.
        console = Console(
            file=drawn,
            force_terminal=on_screen,
            width=None if on_screen else _FILE_WIDTH + max((len(row[0]) for row in rows), default=0),
            markup=False,
            emoji=False,
            highlight=False,
        )
        console.print(table)
        self._write(f"{_harmless(title)}\n{drawn.getvalue().rstrip()}")

    def show_warning(self, text: str) -> None:
        sys.stderr.write(f"warning: {_harmless(text)}\n")

    def show_error(self, kind: str, message: str, hint: str, code: int) -> None:
        if self.json:
            error: dict[str, Any] = {"type": kind, "message": message, "hint": hint, "exit_code": code}
            with suppress(OSError):  # the error may be that stdout takes nothing any more
                self.show_json({"error": error})
        sys.stderr.write(_harmless(f"error: {message}\n" + (f"  hint: {hint}\n" if hint else "")))

    @contextmanager
    def progress(self) -> Iterator[Any]:
        """A callable that shows each stage: a spinner where a person looks, else a line a stage."""
        if self.json or not sys.stderr.isatty():
            yield lambda stage: sys.stderr.write(f"{stage}\n")
            return
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True).status("starting") as status:
            yield lambda stage: status.update(Text(stage))


def _harmless(text: str) -> str:
    return text.translate(_CONTROLS)
