"""Errors of other libraries, as ashore repeats them."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """What it says, without the traceback or graph that some put below; may be empty."""
    return (str(error).strip().splitlines() or [""])[0]
