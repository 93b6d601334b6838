"""Where the command's words go: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class Terminal:
    """Keeps stdout for results alone, whatever the libraries underneath print."""

    def __init__(self) -> None:
        self._stdout = sys.stdout
        self.json = "--json" in sys.argv

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Inside, file descriptor 1 leads to stderr, and only this object writes to the real stdout."""
        sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
        with os.fdopen(kept, "w", encoding="utf-8") as self._stdout:
            try:
                yield
            finally:
                sys.stdout.flush()
                self._stdout.flush()
                os.dup2(kept, 1)
                self._stdout = sys.stdout

    def show_json(self, document: object) -> None:
        self._stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")

    def show_text(self, text: str) -> None:
        self._stdout.write(text + "\n")

    def show_table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Numbers, which columns after the first mostly are, align right."""
        from rich.console import Console
        from rich.table import Table

        table = Table(title=title, title_justify="left")
        for index, column in enumerate(columns):
            numeric = index > 0 and all(row[index][:1].isdigit() or row[index] in ("", "-") for row in rows)
            table.add_column(column, justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*row)
        Console(file=self._stdout, width=None if self._stdout.isatty() else 140).print(table)

    def show_warning(self, text: str) -> None:
        sys.stderr.write(f"warning: {text}\n")

    def show_error(self, kind: str, message: str, hint: str, code: int) -> None:
        if self.json:
            error: dict[str, Any] = {"type": kind, "message": message, "hint": hint, "exit_code": code}
            self.show_json({"error": error})
        sys.stderr.write(f"error: {message}\n" + (f"  hint: {hint}\n" if hint else ""))

    @contextmanager
    def progress(self) -> Iterator[Any]:
        """A callable that shows each stage: a spinner where a person looks, else a line a stage."""
        if self.json or not sys.stderr.isatty():
            yield lambda stage: sys.stderr.write(f"{stage}\n")
            return
        from rich.console import Console

        with Console(stderr=True).status("starting") as status:
            yield lambda stage: status.update(stage)
