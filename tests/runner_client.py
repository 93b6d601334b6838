"""A tiny client of the runner's frames, for tests that look at what a runner answers rather than at a session."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ashore_runtimes.wire.frames import Channel, Kind, join_layout, lay_out, pack_layout, split_layout, unpack_layout

LIMIT_S = 120.0


@dataclass
class Ran:
    engine_ns: int
    outputs: list[NDArray[Any]]


class RunnerClient:
    """One runner. ``hello`` is what it said when it came up; an answer FAILED becomes a dict with its ``error``."""

    def __init__(self, argv: Sequence[str | Path], shared: bool = False) -> None:
        self.memory = [os.memfd_create(side) for side in ("inputs", "outputs")] if shared else []
        words = [*map(str, argv), *(["--shared", *map(str, self.memory)] if shared else [])]
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=self.memory
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.channel = Channel(self.process.stdout.fileno(), self.process.stdin.fileno(), max_body_bytes=2**31 - 1)
        self.hello = self._receive()
        self.outputs: list[dict[str, Any]] = []

    def ask(self, kind: Kind, *body: bytes) -> Any:
        self.channel.send(kind, *body)
        return self._receive()

    def load(self, file: Path, sha256: bytes = b"", count_ops: bool = False) -> dict[str, Any]:
        flags = bytes([count_ops | (2 if sha256 else 0)])
        facts: dict[str, Any] = self.ask(Kind.LOAD, flags, sha256, os.fsencode(file))
        self.outputs = facts.get("outputs", [])
        return facts

    def run(self, *inputs: NDArray[Any]) -> Any:
        """Ran, or the dict of a FAILED."""
        slots, size_bytes = lay_out([each.shape for each in inputs], [each.itemsize for each in inputs])
        data = bytearray(size_bytes)
        for each, slot in zip(inputs, slots, strict=True):
            data[slot.offset : slot.offset + each.nbytes] = each.tobytes()
        if self.memory:
            os.ftruncate(self.memory[0], max(4096, size_bytes))
            os.pwrite(self.memory[0], data, 0)
            data.clear()
        return self.ask(Kind.RUN, join_layout(pack_layout(slots)), bytes(data))

    def close(self) -> int:
        """Ends the conversation; the runner's exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(LIMIT_S)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        while self.memory:
            os.close(self.memory.pop())
        return code

    def _receive(self) -> Any:
        kind, body = self.channel.receive(LIMIT_S)
        if kind is Kind.RAN:
            return self._ran(body)
        if kind is Kind.REPEATED:
            return list(struct.unpack(f"<{len(body) // 8}Q", body))
        return json.loads(body)

    def _ran(self, body: bytes) -> Ran:
        layout, data = split_layout(memoryview(body)[8:])
        memory = os.pread(self.memory[1], 1 << 24, 0) if self.memory else bytes(data)
        outputs = []
        for slot, facts in zip(unpack_layout(bytes(layout)), self.outputs, strict=True):
            flat = np.frombuffer(memory, np.dtype(facts["dtype"]), slot.volume, slot.offset)
            outputs.append(flat.reshape(slot.shape))
        return Ran(struct.unpack_from("<Q", body)[0], outputs)
