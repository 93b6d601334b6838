"""The child process of a host session: loads one model and runs it when asked, until its input ends.

Whatever the engine does here, be it a crash or a hang, the process of the user does not feel it.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

from ashore_runtimes.frames import Channel, Kind, lay_out, pack_layout, unpack_layout

if TYPE_CHECKING:
    from ashore_runtimes.engine import Engine

_ENGINE_NS = struct.Struct("<Q")


def main() -> None:
    """Serve on stdin and stdout; ``sys.argv`` holds the descriptors of the two shared memory files."""
    channel = _claim_channel()
    # Ctrl-C belongs to the parent, which ends this process by closing its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel.send(Kind.HELLO)
    try:
        model = _answer_load(channel)
        while model:
            model.answer_run(channel)
    except (EOFError, BrokenPipeError):
        pass
    # The parent closed the conversation or died. Tearing the libraries down in order would only take time.
    os._exit(0)


def _claim_channel() -> Channel:
    """Keep stdout for frames, and send everything that libraries print to stderr."""
    frames_fd = os.dup(1)
    os.dup2(2, 1)
    return Channel(0, frames_fd)


def _answer_load(channel: Channel) -> LoadedModel | None:
    request = json.loads(channel.receive()[1])
    begin_ns = time.perf_counter_ns()
    try:
        model = LoadedModel(_engine(**request), *map(int, sys.argv[1:3]))
    except Exception as error:  # noqa: BLE001  the one place where an engine's own exceptions enter
        channel.send(Kind.FAILED, _describe(error))
        return None
    facts = {"inputs": model.engine.inputs, "outputs": model.engine.outputs}
    channel.send(Kind.LOADED, json.dumps({**facts, "load_ns": time.perf_counter_ns() - begin_ns}).encode())
    return model


def _engine(backend: str, file: str, threads: int) -> Engine:
    if backend == "executorch":
        from ashore_runtimes.engine_executorch import ExecuTorchEngine

        return ExecuTorchEngine(file, threads)
    from ashore_runtimes.engine_litert import LiteRTEngine

    return LiteRTEngine(file, threads)


def _describe(error: Exception) -> bytes:
    return json.dumps({"error": type(error).__name__, "message": str(error)}).encode()


class LoadedModel:
    """An engine between its two shared memory files."""

    def __init__(self, engine: Engine, inputs_fd: int, outputs_fd: int) -> None:
        import numpy as np

        from ashore_runtimes.shared import SharedMemory

        self.engine = engine
        self._inputs = SharedMemory(inputs_fd)
        self._outputs = SharedMemory(outputs_fd)
        self._input_dtypes = [np.dtype(facts["dtype"]) for facts in engine.inputs]
        self._output_dtypes = [np.dtype(facts["dtype"]) for facts in engine.outputs]
        self._input_layout = b""
        self._output_shapes: list[tuple[int, ...]] | None = None
        self._output_layout = b""
        self._output_arrays: list[Any] = []

    def answer_run(self, channel: Channel) -> None:
        layout = channel.receive()[1]
        try:
            answer = self._run(layout)
        except Exception as error:  # noqa: BLE001  the one place where an engine's own exceptions enter
            channel.send(Kind.FAILED, _describe(error))
        else:
            channel.send(Kind.RAN, answer)

    def _run(self, layout: bytes) -> bytes:
        if layout != self._input_layout:
            self._input_layout = b""
            self.engine.bind(self._inputs.arrays(unpack_layout(layout), self._input_dtypes))
            self._input_layout = layout
        engine_ns = self.engine.invoke()
        self._publish(self.engine.results())
        return _ENGINE_NS.pack(engine_ns) + self._output_layout

    def _publish(self, results: list[Any]) -> None:
        shapes = [array.shape for array in results]
        if shapes != self._output_shapes:
            slots, size_bytes = lay_out(shapes, [dtype.itemsize for dtype in self._output_dtypes])
            self._outputs.reserve(size_bytes)
            self._output_arrays = self._outputs.arrays(slots, self._output_dtypes)
            self._output_layout = pack_layout(slots)
            self._output_shapes = shapes
        for place, array in zip(self._output_arrays, results, strict=True):
            place[...] = array
