"""What the Python runner does for each request."""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ashore_runtimes.wire.frames import ENGINE_NS, Buffer, Fault, LoadFlag, ProtocolError
from ashore_runtimes.worker.memory import read_memory
from ashore_runtimes.worker.refusal import Refusal, as_json, refusing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ashore_runtimes.worker.engine import Engine
    from ashore_runtimes.worker.mailbox import Mailbox

_HASHED_AT_ONCE = 1 << 16
_RUNS = struct.Struct("<I")
_SHA256_BYTES = 32


class Requests:
    """An engine and the model it holds. Each method takes a request's body, and gives the parts of the answer's.

    ``shared_fds`` is empty where tensors are inline. All may raise Refusal; the next request is as good as ever.
    """

    _mailbox: Mailbox | None = None
    _has_run = False

    def __init__(self, engine: str, threads: int, shared_fds: tuple[int, ...]) -> None:
        self._engine_name, self._threads, self._shared_fds = engine, threads, shared_fds

    def start(self, _: memoryview) -> tuple[Buffer, ...]:
        """Import what the engine needs, which is most of the time that a session takes to open."""
        with refusing(Fault.ENGINE_FAILED):
            self._engine = _make_engine(self._engine_name, self._threads)
        hello = {"runner": "python", "engine": self._engine_name, "engine_version": self._engine.version}
        return (as_json(hello | _memory_field()),)

    def load(self, body: memoryview) -> tuple[Buffer, ...]:
        with refusing(Fault.INVALID_MODEL), _opened(body) as path:
            begin_ns = time.perf_counter_ns()
            self._engine.load(path)
            load_ns = time.perf_counter_ns() - begin_ns
        self._mailbox = self._make_mailbox()
        facts = {"inputs": self._engine.inputs, "outputs": self._engine.outputs, "load_ns": load_ns}
        return (as_json(facts | _memory_field()),)

    def _make_mailbox(self) -> Mailbox:
        import numpy as np

        from ashore_runtimes.worker.mailbox import InlineMailbox, SharedMailbox

        inputs = [np.dtype(facts["dtype"]) for facts in self._engine.inputs]
        outputs = [np.dtype(facts["dtype"]) for facts in self._engine.outputs]
        if self._shared_fds:
            return SharedMailbox(self._shared_fds, inputs, outputs)
        return InlineMailbox(inputs, outputs)

    def run(self, body: memoryview) -> tuple[Buffer, ...]:
        mailbox = self._loaded()
        with refusing(Fault.PROTOCOL_ERROR):
            arrays = mailbox.take(body)
        with refusing(Fault.INVALID_INPUT):
            if arrays is not None:
                self._bind(mailbox, arrays)
            self._engine.feed()
        with refusing(Fault.ENGINE_FAILED):
            engine_ns = self._engine.invoke()
            answer = mailbox.give(self._engine.results())
        self._has_run = True
        return ENGINE_NS.pack(engine_ns), *answer

    def _bind(self, mailbox: Mailbox, arrays: list[NDArray[Any]]) -> None:
        try:
            self._engine.bind(arrays)
        except Exception:
            mailbox.forget()
            raise

    def repeat(self, body: memoryview) -> tuple[Buffer, ...]:
        """The inputs are fed anew each time: an engine may use their memory for what it computes."""
        self._loaded()
        if not self._has_run or len(body) != _RUNS.size:
            raise Refusal(Fault.PROTOCOL_ERROR, "REPEAT takes a u32 and comes after a RUN that succeeded")
        (runs,) = _RUNS.unpack(body)
        times_ns = []
        with refusing(Fault.ENGINE_FAILED):
            for _ in range(runs):
                self._engine.feed()
                times_ns.append(self._engine.invoke())
        return (struct.pack(f"<{runs}Q", *times_ns),)

    def memory(self, _: memoryview) -> tuple[Buffer, ...]:
        return (as_json(read_memory()),)

    def ops(self, _: memoryview) -> tuple[Buffer, ...]:
        raise Refusal(Fault.UNSUPPORTED, "the Python runner does not time operators; the native one does")

    def pace(self, _: memoryview) -> tuple[Buffer, ...]:
        raise Refusal(Fault.UNSUPPORTED, "the Python runner does not tell the machine's pace; the native one does")

    def _loaded(self) -> Mailbox:
        if self._mailbox is None:
            raise Refusal(Fault.PROTOCOL_ERROR, "no model is loaded")
        return self._mailbox


def _make_engine(name: str, threads: int) -> Engine:
    if name == "executorch":
        from ashore_runtimes.worker.engine_executorch import ExecuTorchEngine

        return ExecuTorchEngine(threads)
    from ashore_runtimes.worker.engine_litert import LiteRTEngine

    return LiteRTEngine(threads)


def _memory_field() -> dict[str, object]:
    memory = read_memory()
    return {"memory": memory} if memory else {}


@contextmanager
def _opened(body: memoryview) -> Iterator[str]:
    """A path of LOAD's file, whose hash is checked first. It leads to the very file that was hashed, whatever is
    renamed into its place meanwhile."""
    sha256, name = _take_apart(bytes(body))
    fd = os.open(name, os.O_RDONLY)
    try:
        if sha256:
            _check_sha256(fd, sha256, os.fsdecode(name))
        yield f"/proc/self/fd/{fd}" if sys.platform == "linux" else os.fsdecode(name)
    finally:
        os.close(fd)


def _take_apart(body: bytes) -> tuple[bytes, bytes]:
    if not body:
        raise ProtocolError("LOAD came without a body")
    begin = 1 + (_SHA256_BYTES if body[0] & LoadFlag.SHA256 else 0)
    return body[1:begin], body[begin:]


def _check_sha256(fd: int, expected: bytes, name: str) -> None:
    digest = _sha256()
    while chunk := os.read(fd, _HASHED_AT_ONCE):
        digest.update(chunk)
    found: bytes = digest.digest()
    if found != expected:
        raise Refusal(
            Fault.CHECKSUM_MISMATCH,
            f"{name} has SHA-256 {found.hex()[:12]}…, its manifest vouches for {expected.hex()[:12]}…",
        )


def _sha256() -> Any:
    """The interpreter's own, under its names of 3.12 and 3.11: hashlib would bring OpenSSL, and 4 MB with it."""
    for module in ("_sha2", "_sha256"):
        with suppress(ImportError):
            return import_module(module).sha256()
    from hashlib import sha256

    return sha256()
