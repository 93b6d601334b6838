"""Files appear whole or not at all: they are made in a hidden folder and renamed into place."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from ashore.errors import UsageError

_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def staging(output: Path) -> Iterator[Path]:
    """A hidden folder inside ``output`` that is gone afterwards, however the work ends.

    Raises:
        UsageError: ``output`` cannot be made or written to, or the disk filled up during the work.
    """
    made = [folder for folder in (output, *output.parents) if not os.path.lexists(folder)]
    stage = None
    try:
        stage = _make_stage(output)
        yield stage
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise UsageError(
            f"writing to {output} failed: {error.strerror}", "free space there, or give another folder with -o"
        ) from error
    finally:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)
        _remove_empty(made)


def publish(files: Sequence[Path], output: Path) -> None:
    """Force ``files`` to the disk, then rename them into ``output`` in their order.

    Signals that end the program wait until all are in place. A manifest belongs after the files that it vouches for.

    Raises:
        UsageError: a folder is in the way; nothing was renamed.
    """
    for file in files:
        if (output / file.name).is_dir():
            raise UsageError(f"{output / file.name} is a folder, and a file is to go there", "move it away")
        _flush(file)
    with _uninterrupted():
        for file in files:
            file.replace(output / file.name)


def _flush(file: Path) -> None:
    with file.open("rb") as handle:
        os.fsync(handle.fileno())


def _make_stage(output: Path) -> Path:
    try:
        output.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".ashore-", dir=output))
    except OSError as error:
        raise UsageError(
            f"the output folder {output} cannot be written: {error.strerror or error}", "give another one with -o"
        ) from error


def _remove_empty(folders: Sequence[Path]) -> None:
    """``folders`` from the innermost outwards, up to the first that holds something."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


@contextmanager
def _uninterrupted() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # signals do not reach other threads
        yield
        return
    arrived: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        arrived.append(number)

    handlers = {number: signal.signal(number, note) for number in _ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for late in arrived:
            signal.raise_signal(late)
