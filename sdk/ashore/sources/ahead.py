"""Work on samples done ahead, by a forked process, while this one does something else."""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NoReturn

from ashore.types.tensor import Sample

_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1


class Ahead:
    """A copy of this process that calls ``answer`` on one index after another, until it fails or is ended.

    Whatever it has not answered when its answers are needed, because it was slow, failed, hung or died, the caller
    answers as if there had been no such process.
    """

    def __init__(self, pid: int, file: BinaryIO) -> None:
        self._pid, self._file, self._is_over = pid, file, False

    @classmethod
    def start(cls, answer: Callable[[int], Sample], indices: range) -> Ahead | None:
        """None where there is no core for it, or no safe way to copy this process."""
        if not _is_possible():
            return None
        with suppress(OSError), ExitStack() as opened:
            file = opened.enter_context(tempfile.TemporaryFile(prefix="ashore-"))
            with _signals_held():
                if (pid := _fork()) == 0:
                    _work(answer, indices, file)
            opened.pop_all()
            return cls(pid, file)
        return None

    def is_over(self) -> bool:
        if not self._is_over:
            self._is_over = _waited(self._pid, os.WNOHANG)
        return self._is_over

    def end(self) -> list[Sample]:
        """End the process, wherever it is, and take its answers, which belong to the first indices."""
        if not self.is_over():
            os.kill(self._pid, signal.SIGKILL)
            self._is_over = _waited(self._pid, 0)
        answers: list[Sample] = []
        with self._file as file, suppress(EOFError, pickle.UnpicklingError):  # it may have been in the middle of one
            file.seek(0)
            while True:
                answers.append(pickle.load(file))
        return answers


def _is_possible() -> bool:
    """Elsewhere than on Linux, system libraries may not survive a fork; nor does a GPU's driver anywhere."""
    import torch

    if sys.platform != "linux" or torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return False
    return len(os.sched_getaffinity(0)) > 1


@contextmanager
def _signals_held() -> Iterator[None]:
    """Ctrl-C between a fork and its first line would send the copy through everything that its caller cleans up."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _fork() -> int:
    with warnings.catch_warnings():
        # From Python 3.12 on, and from JAX, which converters bring: the other threads are gone in the copy, and with
        # them whoever would open their locks. The copy needs none of these, and should it hang all the same, it is
        # ended when its answers are asked for.
        for category in (DeprecationWarning, RuntimeWarning):
            warnings.simplefilter("ignore", category)
        return os.fork()


def _work(answer: Callable[[int], Sample], indices: range, file: BinaryIO) -> NoReturn:
    """All that the copy ever does."""
    try:
        import torch

        torch.set_num_threads(1)  # before anything else: the threads of OpenMP's pool do not exist here
        _die_with_parent()
        gc.freeze()  # else the collector would write to, and so copy, the pages of all objects there are
        for index in indices:
            pickle.dump(answer(index), file)
            file.flush()
    finally:
        os._exit(0)


def _die_with_parent() -> None:
    for number in _ENDING_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING_SIGNALS)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # What the model prints was printed for the first sample; the lock of a stream may be held by a thread that is gone.
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115


def _waited(pid: int, options: int) -> bool:
    try:
        return os.waitpid(pid, options) != (0, 0)
    except ChildProcessError:  # somebody else, such as a program that ignores SIGCHLD, has waited for it
        return True
