"""adb's shell service, protocol version 2: one command, its standard streams and its exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import threading
from collections.abc import Mapping
from typing import IO

from device.faults import Faults
from device.wire import Gone, Stream

_PACKET = struct.Struct("<BI")
_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
_READ_BYTES = 1 << 16


class ShellService:
    """Serves one ``shell,v2`` stream.

    ``runs_model``: whether the command is a runner, and its standard output what some faults are about.
    """

    def __init__(
        self, stream: Stream, words: list[str], env: Mapping[str, str], faults: Faults, runs_model: bool
    ) -> None:
        self._stream = stream
        self._faults = faults
        self._printed = 0
        self.runs_model = runs_model
        self.process = subprocess.Popen(
            words,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
            cwd="/",
            start_new_session=True,
        )

    def serve(self) -> None:
        """Until the command ends, or the client goes: then the command is told by SIGHUP, as adbd does."""
        process = self.process
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        pumps = [
            threading.Thread(target=self._pump, args=(process.stdout, _STDOUT), daemon=True),
            threading.Thread(target=self._pump, args=(process.stderr, _STDERR), daemon=True),
        ]
        feeder = threading.Thread(target=self._feed, args=(process.stdin,), daemon=True)
        for thread in (*pumps, feeder):
            thread.start()
        for pump in pumps:
            pump.join()
        process.wait()
        with contextlib.suppress(Gone):
            self._stream.write(_PACKET.pack(_EXIT, 1) + bytes([self._exit_code()]))
        self._stream.close()
        feeder.join()

    def kill(self) -> None:
        """The command and everything it started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def _exit_code(self) -> int:
        code = self.process.returncode
        return code if code >= 0 else 0x80 | -code

    def _pump(self, source: IO[bytes], packet: int) -> None:
        faulty = self.runs_model and packet == _STDOUT
        with source, contextlib.suppress(Gone):
            while data := source.read(_READ_BYTES):
                said = self._say(data) if faulty else data
                self._stream.write(_PACKET.pack(packet, len(said)) + said)
                if len(said) < len(data):
                    self._stream.close()
                    self.kill()

    def _say(self, data: bytes) -> bytes:
        """What the client gets to see of ``data``."""
        self._printed += len(data)
        if self._faults.mute_runner and self._printed > self._faults.mute_runner:
            self._stream.closed.wait()
            raise Gone
        limit = self._faults.truncate_output_after
        return data if limit is None or self._printed <= limit else data[: limit - self._printed]

    def _feed(self, stdin: IO[bytes]) -> None:
        """Until the stream ends; a command that no longer reads loses what comes, as on a phone."""
        buffer = bytearray()
        while data := self._stream.read():
            buffer += data
            while len(buffer) >= _PACKET.size:
                packet, length = _PACKET.unpack_from(buffer)
                if len(buffer) < _PACKET.size + length:
                    break
                body = bytes(buffer[_PACKET.size : _PACKET.size + length])
                del buffer[: _PACKET.size + length]
                self._take(packet, body, stdin)
        self._take(_CLOSE_STDIN, b"", stdin)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGHUP)

    def _take(self, packet: int, body: bytes, stdin: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            if packet == _CLOSE_STDIN:
                stdin.close()
            elif packet == _STDIN:
                view = memoryview(body)
                while view:
                    view = view[stdin.write(view) :]
