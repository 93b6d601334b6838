"""adb's transport, the device's side: messages on a socket, and the streams that share it.

A message is six little-endian u32 (command, two arguments, length, checksum, inverted command) and its data. Each
stream has an identifier on either side; every WRTE must be answered by OKAY before the next may follow.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

_HEADER = struct.Struct("<6I")
_VERSION = 0x01000001
"""From this version on, nobody looks at checksums."""
MAX_DATA_BYTES = 256 * 1024
_AUTH_TOKEN = 1


@dataclass(frozen=True)
class Message:
    command: bytes
    arg0: int
    arg1: int
    data: bytes = b""

    def pack(self) -> bytes:
        command = int.from_bytes(self.command, "little")
        return _HEADER.pack(command, self.arg0, self.arg1, len(self.data), 0, command ^ 0xFFFFFFFF) + self.data


class Gone(Exception):
    """The other side closed the stream, or the connection broke."""


class Stream:
    """Bytes in both directions between the client and one service."""

    def __init__(self, connection: Connection, local: int, remote: int) -> None:
        self._connection = connection
        self.local, self.remote = local, remote
        self._inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._granted = threading.Semaphore(0)
        self._writing = threading.Lock()
        self.closed = threading.Event()

    def read(self) -> bytes:
        """What came next; empty at the end. Only now does the client hear that it may send more."""
        data = self._inbox.get()
        if data:
            self._connection.send(Message(b"OKAY", self.local, self.remote))
        return data

    def write(self, data: bytes) -> None:
        """Raises Gone."""
        with self._writing:
            for begin in range(0, len(data), MAX_DATA_BYTES):
                part = data[begin : begin + MAX_DATA_BYTES]
                self._connection.send(Message(b"WRTE", self.local, self.remote, part))
                self._granted.acquire()
                if self.closed.is_set():
                    raise Gone

    def close(self) -> None:
        if not self.closed.is_set():
            self.end()
            with contextlib.suppress(Gone):
                self._connection.send(Message(b"CLSE", self.local, self.remote))

    def deliver(self, data: bytes) -> None:
        self._inbox.put(data)

    def grant(self) -> None:
        self._granted.release()

    def end(self) -> None:
        self.closed.set()
        self._inbox.put(b"")
        self._granted.release()


class Connection:
    """One client's connection. ``serve`` handles it until it breaks."""

    def __init__(
        self,
        sock: socket.socket,
        banner: bytes,
        authorized: Callable[[], bool],
        open_service: Callable[[Stream, str], None],
    ) -> None:
        self._socket = sock
        self._banner = banner
        self._authorized = authorized
        self._open_service = open_service
        self._streams: dict[int, Stream] = {}
        self._next_local = 1
        self._sending = threading.Lock()

    def serve(self) -> None:
        try:
            while True:
                self._handle(self._receive())
        except (Gone, OSError):
            pass
        finally:
            self.drop()

    def drop(self) -> None:
        """Break the connection, as a pulled cable does."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for stream in list(self._streams.values()):
            stream.end()

    def send(self, message: Message) -> None:
        try:
            with self._sending:
                self._socket.sendall(message.pack())
        except OSError as error:
            raise Gone from error

    def _receive(self) -> Message:
        command, arg0, arg1, length, _, _ = _HEADER.unpack(self._read(_HEADER.size))
        return Message(int(command).to_bytes(4, "little"), arg0, arg1, self._read(length))

    def _read(self, length: int) -> bytes:
        data = bytearray(length)
        view = memoryview(data)
        while view:
            count = self._socket.recv_into(view)
            if not count:
                raise Gone
            view = view[count:]
        return bytes(data)

    def _handle(self, message: Message) -> None:
        if message.command in (b"CNXN", b"AUTH"):
            self._greet()
        elif message.command == b"OPEN":
            self._open(message)
        elif stream := self._streams.get(message.arg1):
            self._pass_on(stream, message)

    def _greet(self) -> None:
        if self._authorized():
            self.send(Message(b"CNXN", _VERSION, MAX_DATA_BYTES, self._banner))
        else:
            self.send(Message(b"AUTH", _AUTH_TOKEN, 0, bytes(20)))

    def _open(self, message: Message) -> None:
        stream = Stream(self, self._next_local, message.arg0)
        self._next_local += 1
        self._streams[stream.local] = stream
        self.send(Message(b"OKAY", stream.local, stream.remote))
        service = message.data.rstrip(b"\0").decode()
        threading.Thread(target=self._serve_stream, args=(stream, service), daemon=True).start()

    def _serve_stream(self, stream: Stream, service: str) -> None:
        try:
            self._open_service(stream, service)
        except Gone:
            pass
        finally:
            stream.close()
            self._streams.pop(stream.local, None)

    def _pass_on(self, stream: Stream, message: Message) -> None:
        if message.command == b"WRTE":
            stream.deliver(message.data)
        elif message.command == b"OKAY":
            stream.grant()
        elif message.command == b"CLSE":
            stream.end()
