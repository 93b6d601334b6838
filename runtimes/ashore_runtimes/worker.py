"""The child process of a host session: loads one model and runs it when asked, until its input ends.

Whatever the engine does here, be it a crash or a hang, the process of the user does not feel it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ashore_runtimes.frames import Channel, Kind, lay_out, pack_layout, unpack_layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ashore_runtimes.engine import Engine

_ENGINE_NS = struct.Struct("<Q")


def main() -> None:
    """Serve on stdin and stdout. ``sys.argv``: backend, threads, descriptors of the inputs' and the outputs' memory."""
    channel = _claim_channel()
    # Ctrl-C belongs to the parent, which ends this process by closing its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = Worker(*sys.argv[1:5])
    with contextlib.suppress(EOFError, BrokenPipeError):
        if _answer(channel, Kind.HELLO, worker.start, b"") and _answer(channel, Kind.LOADED, worker.load):
            while True:
                _answer(channel, Kind.RAN, worker.run)
    # The parent closed the conversation or died. Tearing the libraries down in order would only take time.
    os._exit(0)


def _claim_channel() -> Channel:
    """Keep stdout for frames, and send everything that libraries print to stderr."""
    frames_fd = os.dup(1)
    os.dup2(2, 1)
    return Channel(0, frames_fd)


def _answer(channel: Channel, kind: Kind, work: Callable[[bytes], bytes], request: bytes | None = None) -> bool:
    """Whether ``work`` did what the next request, or the given one, asks."""
    body = channel.receive()[1] if request is None else request
    try:
        answer = work(body)
    except Exception as error:  # noqa: BLE001  the one place where an engine's own exceptions enter
        report = {"error": type(error).__name__, "message": str(error)}
        channel.send(Kind.FAILED, json.dumps(report).encode())
        return False
    channel.send(kind, answer)
    return True


class Worker:
    """An engine between two shared memory files. Each method takes a request's body and makes the answer's."""

    engine: Engine

    def __init__(self, backend: str, threads: str, inputs_fd: str, outputs_fd: str) -> None:
        self._backend = backend
        self._threads = int(threads)
        self._inputs_fd, self._outputs_fd = int(inputs_fd), int(outputs_fd)
        self._input_layout = self._output_layout = b""
        self._output_shapes: list[tuple[int, ...]] | None = None
        self._output_arrays: list[NDArray[Any]] = []

    def start(self, _: bytes) -> bytes:
        """Import what the engine needs, which is most of the time that a session takes to open."""
        if self._backend == "executorch":
            from ashore_runtimes.engine_executorch import ExecuTorchEngine

            self.engine = ExecuTorchEngine(self._threads)
        else:
            from ashore_runtimes.engine_litert import LiteRTEngine

            self.engine = LiteRTEngine(self._threads)
        return b""

    def load(self, file: bytes) -> bytes:
        import numpy as np

        from ashore_runtimes.shared import SharedMemory

        begin_ns = time.perf_counter_ns()
        self.engine.load(os.fsdecode(file))
        load_ns = time.perf_counter_ns() - begin_ns
        inputs, outputs = self.engine.inputs, self.engine.outputs
        self._inputs, self._outputs = SharedMemory(self._inputs_fd), SharedMemory(self._outputs_fd)
        self._input_dtypes = [np.dtype(facts["dtype"]) for facts in inputs]
        self._output_dtypes = [np.dtype(facts["dtype"]) for facts in outputs]
        return json.dumps({"inputs": inputs, "outputs": outputs, "load_ns": load_ns}).encode()

    def run(self, layout: bytes) -> bytes:
        if layout != self._input_layout:
            self._input_layout = b""
            self.engine.bind(self._inputs.arrays(unpack_layout(layout), self._input_dtypes))
            self._input_layout = layout
        engine_ns = self.engine.invoke()
        self._publish(self.engine.results())
        return _ENGINE_NS.pack(engine_ns) + self._output_layout

    def _publish(self, results: list[NDArray[Any]]) -> None:
        shapes = [array.shape for array in results]
        if shapes != self._output_shapes:
            slots, size_bytes = lay_out(shapes, [dtype.itemsize for dtype in self._output_dtypes])
            self._outputs.reserve(size_bytes)
            self._output_arrays = self._outputs.arrays(slots, self._output_dtypes)
            self._output_layout = pack_layout(slots)
            self._output_shapes = shapes
        for place, array in zip(self._output_arrays, results, strict=True):
            place[...] = array
