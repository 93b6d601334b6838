"""The session's side of a runner's process: start it, ask it, notice how it ends, end it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from typing import NamedTuple, NoReturn, TypeVar

from ashore.errors import EngineCrashed, TargetUnavailable
from ashore.limits import confine, memory_limit_bytes
from ashore_runtimes.runner.launch import Ending, Launch
from ashore_runtimes.session.answers import Hello, read_failure, read_hello
from ashore_runtimes.session.faults import reported_error
from ashore_runtimes.session.log import Log
from ashore_runtimes.session.turn import NativeTurn
from ashore_runtimes.session.watch import CORES, watch
from ashore_runtimes.wire.frames import ANSWERS, MAX_BODY_BYTES, MAX_WORDS_BYTES, Channel, Kind, ProtocolError
from ashore_runtimes.wire.shared import anonymous_file

_T = TypeVar("_T")

GRACE_S = 2.0
"""From the end of the conversation to SIGTERM, and from there to SIGKILL."""


class Coming(NamedTuple):
    """An answer that will probably come after ``due_s``; ``rehearse`` does, without any effect, what will follow."""

    due_s: float
    rehearse: Callable[[], object]


class Child:
    """A running runner. All that it holds is given back by ``end``, which may be called any number of times.

    Attributes:
        doing: names the current work in messages.
        over: says why there is no runner any more; empty before.
        shared_fds: the files of the inputs and of the outputs; empty where tensors are inline.
    """

    def __init__(self, launch: Launch, doing: str) -> None:
        self.doing = doing
        self.over = ""
        self._launch = launch
        self._greeted = False
        self._owner_pid = os.getpid()
        self._log = Log()
        names = ("ashore-inputs", "ashore-outputs") if launch.shared else ()
        self.shared_fds = tuple(anonymous_file(name, may_shrink=False) for name in names)
        try:
            limit_bytes = memory_limit_bytes()
            self.process = _start(launch, self.shared_fds, self._log.fd)
            confine(self.process.pid, limit_bytes)
        except BaseException:
            self._close_files()
            raise
        self._open_channel()

    def _open_channel(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None  # both are pipes
        self._pipes = (self.process.stdin, self.process.stdout)
        requests_fd, self._answers_fd = (pipe.fileno() for pipe in self._pipes)
        os.set_blocking(requests_fd, False)  # a runner that does not listen must not hold a request beyond its limit
        longest_bytes = MAX_WORDS_BYTES if self._launch.shared else MAX_BODY_BYTES
        self._channel = Channel(self._answers_fd, requests_fd, ANSWERS, longest_bytes)
        library = self._launch.turn
        self._turn = None if library is None else NativeTurn(library, requests_fd, self._answers_fd)

    def inputs_at(self, address: int, size_bytes: int) -> None:
        """Where this process writes what the runner reads."""
        if self._turn is not None:
            self._turn.inputs_at(address, size_bytes)

    def greet(self) -> Hello:
        """Wait until the engine is up. Raises as ``ask`` does."""
        hello = self._exchange(b"", Kind.HELLO, read_hello, self._launch.start_limit_s)
        self._greeted = True
        return hello

    def ask(
        self,
        request: bytes,
        answer: Kind,
        read: Callable[[bytes], _T],
        timeout_s: float,
        coming: Coming | None = None,
    ) -> _T:
        """Send the frame ``request``, wait for its answer, and ``read`` it.

        ``read`` raises ProtocolError for what it cannot read. ``coming`` is what is known of it.

        Raises:
            AshoreError: the runner reports a failure, and goes on.
            EngineCrashed: what came is no answer; the runner was ended.
            ExecutionError, TargetError: it died or took longer than ``timeout_s``, in the words of ``Launch.explain``.
        """
        self._log.mark()
        return self._exchange(request, answer, read, timeout_s, coming)

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
        if self._launch.after is not None and os.getpid() == self._owner_pid:
            self._launch.after(self.process.returncode)

    def _close_files(self) -> None:
        self._log.close()
        for fd in self.shared_fds:
            os.close(fd)

    def _exchange(
        self,
        request: bytes,
        answer: Kind,
        read: Callable[[bytes], _T],
        timeout_s: float,
        coming: Coming | None = None,
    ) -> _T:
        try:
            got, body = self._converse(request, timeout_s, coming)
            if got is answer:
                return read(body)
            failure = read_failure(body) if got is Kind.FAILED else None
        except TimeoutError as error:
            self._report_hang(timeout_s, error)
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            self._report_death(error)
        except ProtocolError as error:
            self._report_nonsense(str(error), error)
        except BaseException:  # Ctrl-C, mostly: an answer nobody waits for would be taken for that of the next request
            self.end(grace_s=0.0, why=f"it was interrupted while {self.doing}")
            raise
        if failure is None:
            self._report_nonsense(f"{got.name} in place of {answer.name}")
        raise reported_error(failure, self.doing, self._ending().tail)

    def _converse(self, request: bytes, timeout_s: float, coming: Coming | None) -> tuple[Kind, bytes]:
        begin_s = time.monotonic()
        threads = self._launch.threads or 0
        CORES.take(threads)
        try:
            begun = b""
            if threads and coming is not None and CORES.one_is_free:
                begun = self._watched(request, timeout_s, coming)
            else:
                self._channel.put(request, timeout_s)
            return self._channel.receive(max(0.0, begin_s + timeout_s - time.monotonic()), begun)
        finally:
            CORES.give_back(threads)

    def _watched(self, request: bytes, timeout_s: float, coming: Coming) -> bytes:
        """Send it, and be awake when the answer is due; the beginning of it, if it was read."""
        due_s = min(coming.due_s, timeout_s)

        def rehearse() -> None:
            coming.rehearse()
            CORES.take(0)
            CORES.give_back(0)

        begun = None if self._turn is None else self._turn.take(request, due_s, rehearse)
        if begun is None:
            self._channel.put(request, timeout_s)
            watch(self._answers_fd, due_s)
        return begun or b""

    def _report_hang(self, limit_s: float, cause: Exception) -> NoReturn:
        ending = self._ending(limit_s=limit_s)
        self.end(grace_s=0.0, why=f"{self.doing} took longer than the limit of {limit_s:g} s")
        raise self._launch.explain(ending) from cause

    def _report_death(self, cause: Exception) -> NoReturn:
        _stop(self.process, GRACE_S)
        error = self._launch.explain(self._ending())
        self.end(why=error.message.partition("\n")[0])
        raise error from cause

    def _report_nonsense(self, answer: str, cause: Exception | None = None) -> NoReturn:
        what = f"the engine's process answered out of turn while {self.doing}: {answer}"
        self.end(grace_s=0.0, why=what)
        raise EngineCrashed(what, "does a sitecustomize module print on standard output when Python starts?") from cause

    def _ending(self, limit_s: float | None = None) -> Ending:
        """As things are now: call it before the log is closed."""
        returncode = None if limit_s is not None else self.process.returncode
        return Ending(self.doing, self._log.last_words(), self._greeted, returncode, limit_s)


def _start(launch: Launch, fds: tuple[int, ...], log_fd: int) -> subprocess.Popen[bytes]:
    words = ["--shared", *map(str, fds)] if fds else []
    try:
        return subprocess.Popen(
            [*launch.argv, *words],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_fd,
            pass_fds=fds,
            env={**os.environ, **launch.environment},
            cwd=launch.cwd,
            start_new_session=True,  # the terminal's Ctrl-C is for the parent alone
        )
    except OSError as error:
        raise TargetUnavailable(
            f"cannot start {launch.argv[0]!r}: {error}",
            "models run in a process of their own, which must be allowed to start; ashore doctor shows what is missing",
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
