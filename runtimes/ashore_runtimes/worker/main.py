"""The runner in Python: loads one model and runs it when asked, until its input ends.

It speaks the same frames as the native runner and stands in for it where no compiler is. Whatever the engine does here,
be it a crash or a hang, the process of the user does not feel it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
from collections.abc import Callable

from ashore_runtimes.wire.frames import MAX_BODY_BYTES, MAX_WORDS_BYTES, REQUESTS, Buffer, Channel, Kind
from ashore_runtimes.worker.refusal import Refusal, as_json
from ashore_runtimes.worker.requests import Requests

_Work = Callable[[memoryview], tuple[Buffer, ...]]


def main() -> None:
    """Serve on stdin and stdout. ``sys.argv``: ``ENGINE --threads N [--shared IN_FD OUT_FD]``."""
    parser = argparse.ArgumentParser("ashore-runner")
    parser.add_argument("engine", choices=("executorch", "litert"))
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--shared", type=int, nargs=2, metavar=("IN_FD", "OUT_FD"))
    words = parser.parse_args()
    channel = _claim_channel(MAX_WORDS_BYTES if words.shared else MAX_BODY_BYTES)
    # Ctrl-C belongs to the parent, which ends this process by closing its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, BrokenPipeError):
        _serve(channel, Requests(words.engine, words.threads, tuple(words.shared or ())))
    # The parent closed the conversation or died. Tearing the libraries down in order would only take time.
    os._exit(0)


def _claim_channel(max_body_bytes: int) -> Channel:
    """Keep stdout for frames, and send everything that libraries print to stderr."""
    frames_fd = os.dup(1)
    os.dup2(2, 1)
    return Channel(0, frames_fd, REQUESTS, max_body_bytes)


def _serve(channel: Channel, requests: Requests) -> None:
    works: dict[Kind, tuple[Kind, _Work]] = {
        Kind.LOAD: (Kind.LOADED, requests.load),
        Kind.RUN: (Kind.RAN, requests.run),
        Kind.REPEAT: (Kind.REPEATED, requests.repeat),
        Kind.MEMORY: (Kind.MEMORY_IS, requests.memory),
        Kind.OPS: (Kind.OPS_ARE, requests.ops),
        Kind.PACE: (Kind.PACE_IS, requests.pace),
    }
    _answer(channel, Kind.HELLO, requests.start, b"")
    while True:
        kind, body = channel.receive()
        _answer(channel, *works[kind], body)


def _answer(channel: Channel, kind: Kind, work: _Work, body: bytes) -> None:
    try:
        parts = work(memoryview(body))
    except Refusal as refusal:
        channel.send(Kind.FAILED, as_json({"error": refusal.fault, "message": str(refusal)}))
    else:
        channel.send(kind, *parts)
