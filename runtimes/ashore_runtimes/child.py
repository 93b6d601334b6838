"""The parent's side of a child process: start it, ask it, notice how it ends, end it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from ashore.errors import AshoreError, EngineCrashed, ExecutionError, TargetUnavailable
from ashore_runtimes.frames import Channel, Kind, ProtocolError
from ashore_runtimes.log import Log
from ashore_runtimes.shared import anonymous_file

START_LIMIT_S = 300.0
"""For Python and the engine's libraries to come up: seconds, but minutes on a cold disk under load."""
GRACE_S = 2.0
"""From the end of the conversation to SIGTERM, and from there to SIGKILL."""

# The child gets the parent's import path, so that it finds the same libraries in every kind of installation, but after
# its own entries, so that a file beside the user's script can never stand in for a module of Python's.
_BOOT = """
import json, sys
sys.path += [entry for entry in json.loads(sys.argv.pop()) if entry not in sys.path]
from ashore_runtimes.worker import main
main()
"""


class Child:
    """A running worker. All that it holds is given back by ``end``, which may be called any number of times.

    ``doing`` names the current work in messages; ``over`` says why there is no child any more, and is empty before.
    """

    def __init__(self, backend: str, threads: int) -> None:
        self.doing = f"starting the {backend} engine"
        self.over = ""
        self._owner_pid = os.getpid()
        self.inputs_fd = anonymous_file("ashore-inputs")
        self.outputs_fd = anonymous_file("ashore-outputs")
        self._log = Log()
        try:
            self.process = _start(backend, threads, (self.inputs_fd, self.outputs_fd), self._log.fd)
        except BaseException:
            self._close_files()
            raise
        assert self.process.stdin is not None and self.process.stdout is not None  # both are pipes
        self._pipes = (self.process.stdin, self.process.stdout)
        self._channel = Channel(self.process.stdout.fileno(), self.process.stdin.fileno())

    def greet(self) -> None:
        """Wait until the engine is up. Raises as ``ask`` does."""
        self._exchange(None, b"", Kind.HELLO, START_LIMIT_S)

    def ask(self, kind: Kind, body: bytes, answer: Kind, timeout_s: float) -> bytes:
        """Send a request and wait for its answer.

        Raises:
            ExecutionError: the child reports an error (and goes on), or took longer than ``timeout_s`` (and is ended).
            EngineCrashed: the child died.
        """
        self._log.mark()
        return self._exchange(kind, body, answer, timeout_s)

    def end(self, grace_s: float = GRACE_S, why: str = "it was closed") -> None:
        if self.over:
            return
        self.over = why
        try:
            # A process forked from the owner has copies of the descriptors, but the child is not its own to end.
            if os.getpid() == self._owner_pid:
                self._pipes[0].close()
                _stop(self.process, grace_s)
        finally:
            for pipe in self._pipes:
                pipe.close()
            self._close_files()

    def _close_files(self) -> None:
        self._log.close()
        os.close(self.inputs_fd)
        os.close(self.outputs_fd)

    def _exchange(self, kind: Kind | None, body: bytes, answer: Kind, timeout_s: float) -> bytes:
        try:
            if kind is not None:
                self._channel.send(kind, body)
            got, answered = self._channel.receive(timeout_s)
        except TimeoutError as error:
            self._report_hang(timeout_s, error)
        except (EOFError, BrokenPipeError) as error:
            self._report_death(error)
        except ProtocolError as error:
            self._report_nonsense(str(error))
        except BaseException:  # Ctrl-C, mostly: an answer nobody waits for would be taken for that of the next request
            self.end(grace_s=0.0, why=f"it was interrupted while {self.doing}")
            raise
        if got is Kind.FAILED:
            raise self._reported(answered)
        if got is not answer:
            self._report_nonsense(f"{got.name} in place of {answer.name}")
        return answered

    def _reported(self, body: bytes) -> AshoreError:
        report: dict[str, str] = json.loads(body)
        message = f"{self.doing} failed: {report['message'] or report['error']}{self._last_words()}"
        if report["error"] in ("ImportError", "ModuleNotFoundError"):
            return TargetUnavailable(message, "the library is installed but cannot be imported: reinstall it")
        return ExecutionError(
            message,
            "this is the engine's own message; the file may be damaged, or made for another version of it",
        )

    def _report_hang(self, timeout_s: float, cause: Exception) -> NoReturn:
        what = f"{self.doing} took longer than the limit of {timeout_s:g} s"
        self.end(grace_s=0.0, why=what)
        raise ExecutionError(f"{what}; its process was ended", "raise timeout_s if it only needs more time") from cause

    def _report_death(self, cause: Exception) -> NoReturn:
        _stop(self.process, GRACE_S)
        what = f"the engine's process {_cause_of_death(self.process.returncode)} while {self.doing}"
        words = self._last_words()
        self.end(why=what)
        raise EngineCrashed(f"{what}{words}", _ADVICE.get(-self.process.returncode, _CRASH_ADVICE)) from cause

    def _report_nonsense(self, answer: str) -> NoReturn:
        what = f"the engine's process answered out of turn while {self.doing}: {answer}"
        self.end(grace_s=0.0, why=what)
        raise EngineCrashed(what, "does a sitecustomize module print on standard output when Python starts?")

    def _last_words(self) -> str:
        words = self._log.last_words()
        return f"\n{words}" if words else ""


_CRASH_ADVICE = "the file is probably damaged, or was made for another version of the engine; this process is unharmed"
_ADVICE: dict[int, str] = {signal.SIGKILL: "something else ended it; where nobody did, the system ran out of memory"}


def _start(backend: str, threads: int, fds: tuple[int, ...], log_fd: int) -> subprocess.Popen[bytes]:
    # A relative entry would mean another folder the day the child changes its own.
    path = [entry for entry in sys.path if Path(entry).is_absolute()]
    # The engines have pools of their own; those that numpy and torch would make only take memory.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-c", _BOOT, backend, str(threads), *map(str, fds), json.dumps(path)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_fd,
            pass_fds=fds,
            env=environment,
            start_new_session=True,  # the terminal's Ctrl-C is for the parent alone
        )
    except OSError as error:
        raise TargetUnavailable(
            f"cannot start a process of {sys.executable!r}: {error}",
            "ashore runs models in a child of the same Python, which must be allowed to start",
        ) from error


def _stop(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """Wait for it to end by itself, then make it. It is gone afterwards, even where Ctrl-C cuts the waiting short."""
    try:
        for insist in (process.terminate, process.kill):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace_s)
                return
            insist()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _cause_of_death(returncode: int) -> str:
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    try:
        return f"was killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was killed by signal {-returncode}"
