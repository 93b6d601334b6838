"""What takes long to make is made once."""

from __future__ import annotations

import contextlib
import fcntl
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """``folder``, filled by ``make`` the first time. It appears whole or not at all, also when two processes want it.

    Args:
        make: fills the empty folder that it is given; that one's parent is scratch space of its own.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.parent / f".{folder.name}.lock"):
        if not folder.is_dir():  # whoever waited finds it finished
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as scratch:
                staging = Path(scratch) / "made"
                staging.mkdir()
                make(staging)
                staging.rename(folder)
    return folder


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The lock ends with its process, however that ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
