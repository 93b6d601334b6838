"""adb's file transfer, the device's side: stat, list, send and receive."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import IO

from device.faults import Faults
from device.wire import Gone, Stream

_ID = struct.Struct("<4sI")
_STAT2 = struct.Struct("<4sIQQIIIIQqqq")
_CHUNK_BYTES = 64 * 1024


class SyncService:
    """Serves one ``sync:`` stream. ``host_path`` says where a path of the phone really is."""

    def __init__(
        self, stream: Stream, host_path: Callable[[str], Path], faults: Faults, drop: Callable[[], None]
    ) -> None:
        self._stream = stream
        self._host_path = host_path
        self._faults = faults
        self._drop = drop
        self._buffer = bytearray()

    def serve(self) -> None:
        answers = {b"STA2": os.stat, b"LST2": os.lstat}
        while True:
            request, length = _ID.unpack(self._read(_ID.size))
            if request == b"QUIT":
                return
            path = self._read(length).decode()
            if request in answers:
                self._stat(request, path, answers[request])
            elif request == b"STAT":
                self._stat_v1(path)
            elif request == b"LIST":
                self._list(path)
            elif request == b"SEND":
                self._receive_file(path)
            elif request == b"RECV":
                self._send_file(path)
            else:
                self._fail(f"unknown request {request!r}")
                return

    def _read(self, length: int) -> bytes:
        while len(self._buffer) < length:
            data = self._stream.read()
            if not data:
                raise Gone
            self._buffer += data
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken

    def _fail(self, message: str) -> None:
        self._stream.write(_ID.pack(b"FAIL", len(message)) + message.encode())

    def _stat(self, request: bytes, path: str, look: Callable[[Path], os.stat_result]) -> None:
        try:
            found = look(self._host_path(path))
        except OSError as error:
            self._stream.write(_STAT2.pack(request, error.errno, *([0] * 10)))
            return
        times = (int(found.st_atime), int(found.st_mtime), int(found.st_ctime))
        facts = (found.st_dev, found.st_ino, found.st_mode, found.st_nlink, found.st_uid, found.st_gid, found.st_size)
        self._stream.write(_STAT2.pack(request, 0, *facts, *times))

    def _stat_v1(self, path: str) -> None:
        try:
            found = self._host_path(path).lstat()
            facts = (found.st_mode, found.st_size, int(found.st_mtime))
        except OSError:
            facts = (0, 0, 0)
        self._stream.write(struct.pack("<4sIII", b"STAT", *facts))

    def _list(self, path: str) -> None:
        folder = self._host_path(path)
        for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
            found, name = entry.lstat(), entry.name.encode()
            facts = (found.st_mode, found.st_size, int(found.st_mtime), len(name))
            self._stream.write(struct.pack("<4sIIII", b"DENT", *facts) + name)
        self._stream.write(_ID.pack(b"DONE", 0) + bytes(12))

    def _send_file(self, path: str) -> None:
        try:
            with self._host_path(path).open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    self._stream.write(_ID.pack(b"DATA", len(chunk)) + chunk)
        except OSError as error:
            self._fail(f"open failed: {error.strerror}")
            return
        self._stream.write(_ID.pack(b"DONE", 0))

    def _receive_file(self, target: str) -> None:
        path, _, mode = target.rpartition(",")
        file = self._host_path(path)
        problem = self._write_file(file, path)
        if problem:  # adbd reads the client's data to the end before it complains, and leaves nothing
            file.unlink(missing_ok=True)
            self._fail(problem)
            return
        file.chmod(stat.S_IMODE(int(mode)))
        self._stream.write(_ID.pack(b"OKAY", 0))

    def _write_file(self, file: Path, path: str) -> str:
        """Why it could not be written, or an empty text."""
        file.parent.mkdir(parents=True, exist_ok=True)
        problem, received = "", 0
        with file.open("wb", buffering=0) as out:
            while (chunk := self._data()) is not None:
                self._interrupt(received, chunk, out)
                received += len(chunk)
                if self._is_full(len(chunk)):
                    problem = "write failed: No space left on device"
                if not problem:
                    out.write(self._altered(chunk, path))
        return problem

    def _data(self) -> bytes | None:
        request, length = _ID.unpack(self._read(_ID.size))
        return None if request == b"DONE" else self._read(length)

    def _interrupt(self, received: int, chunk: bytes, out: IO[bytes]) -> None:
        """Stop within this chunk, where a fault says so; what came before is on the disk then."""
        cut, stall = self._faults.cut_push_after, self._faults.stall_push_after
        if cut is not None and received + len(chunk) > cut:
            out.write(chunk[: cut - received])
            self._drop()
            raise Gone
        if stall is not None and received + len(chunk) > stall:
            out.write(chunk[: stall - received])
            self._stream.closed.wait()
            raise Gone

    def _is_full(self, count: int) -> bool:
        if self._faults.free_bytes is None:
            return False
        self._faults.free_bytes = max(-1, self._faults.free_bytes - count)
        return self._faults.free_bytes < 0

    def _altered(self, chunk: bytes, path: str) -> bytes:
        if self._faults.damage_pushed and self._faults.damage_pushed in path:
            return bytes([chunk[0] ^ 1]) + chunk[1:]
        return chunk
