"""Profiles in, a file out; its name says in which format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ashore.errors import UsageError
from ashore.pipeline.publishing import publish, staging
from ashore.profiling.profiles import load_profile
from ashore.report.entries import Entry, Source, collect
from ashore.report.page import page
from ashore.report.plain import csv_text, markdown
from ashore.report.trace import trace_text

_Writer = Callable[[Sequence[Source], Sequence[Entry]], str]
_FORMATS: dict[str, _Writer] = {
    ".html": page,
    ".md": lambda _, entries: markdown(entries),
    ".csv": lambda _, entries: csv_text(entries),
    ".trace.json": lambda _, entries: trace_text(entries),
}


def report(profiles: Sequence[Path], output: Path) -> None:
    """Write a report of all results of ``profiles``; the file appears whole or not at all.

    Args:
        profiles: files as ``ashore profile -o`` writes them.
        output: ends in ``.html``, ``.md``, ``.csv`` or ``.trace.json`` (the Trace Event Format, which Perfetto opens).

    Raises:
        UsageError: another ending, a file that is not there, or an output that cannot be written.
        ArtifactError: a file that is no profile.
    """
    write = _writer(output)
    sources = [Source(name, load_profile(path)) for name, path in zip(_names(profiles), profiles, strict=True)]
    text = write(sources, collect(sources))
    with staging(output.parent) as stage:
        part = stage / output.name
        part.write_text(text, encoding="utf-8", newline="")
        publish([part], output.parent)


def _writer(output: Path) -> _Writer:
    for ending, writer in _FORMATS.items():
        if output.name.lower().endswith(ending):
            return writer
    raise UsageError(f"{output} names no format", f"end it in one of {', '.join(_FORMATS)}")


def _names(profiles: Sequence[Path]) -> list[str]:
    """Names of files where they tell the profiles apart, else whole paths."""
    names = [path.name for path in profiles]
    return names if len(set(names)) == len(names) else [str(path) for path in profiles]
