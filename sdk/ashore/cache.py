"""Where ashore keeps what can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``ASHORE_CACHE``, or ashore's folder in the user's cache."""
    if chosen := os.environ.get("ASHORE_CACHE"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache") / "ashore"
