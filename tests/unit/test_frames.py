"""Frames over real pipes: what is sent arrives, and what is no frame is noticed."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest

from ashore_runtimes.wire.frames import Channel, Kind, ProtocolError, Slot, lay_out, pack_layout, unpack_layout


@pytest.fixture
def pipe() -> Iterator[tuple[Channel, int]]:
    """A channel that hears what is written to the descriptor beside it."""
    read_fd, write_fd = os.pipe()
    yield Channel(read_fd, write_fd), write_fd
    for fd in (read_fd, write_fd):
        try:
            os.close(fd)
        except OSError:
            continue


def test_frames_arrive_one_by_one_in_order(pipe: tuple[Channel, int]) -> None:
    channel, _ = pipe
    channel.send(Kind.RUN, b"abc")
    channel.send(Kind.RAN)
    channel.send(Kind.FAILED, b"\x00" * 4000)

    assert channel.receive(1.0) == (Kind.RUN, b"abc")
    assert channel.receive(1.0) == (Kind.RAN, b"")
    assert channel.receive() == (Kind.FAILED, b"\x00" * 4000)


def test_a_frame_may_arrive_in_pieces(pipe: tuple[Channel, int]) -> None:
    channel, write_fd = pipe
    frame = struct.pack("<IB", 3, Kind.LOAD) + b"abc"
    os.write(write_fd, frame[:2])
    with pytest.raises(TimeoutError):
        channel.receive(0.01)
    os.write(write_fd, frame[2:6])
    with pytest.raises(TimeoutError):
        channel.receive(0.01)
    os.write(write_fd, frame[6:])
    assert channel.receive(1.0) == (Kind.LOAD, b"abc")


def test_the_end_of_the_pipe_is_told_apart_from_silence(pipe: tuple[Channel, int]) -> None:
    channel, write_fd = pipe
    os.write(write_fd, struct.pack("<IB", 3, Kind.LOAD))
    os.close(write_fd)
    with pytest.raises(EOFError):
        channel.receive(1.0)


@pytest.mark.parametrize("noise", [b"Hello from sitecustomize\n", b"\x00\x00\x00\x00\x63", b"\xff\xff\xff\xff\x01"])
def test_a_stray_print_is_not_taken_for_a_frame(pipe: tuple[Channel, int], noise: bytes) -> None:
    channel, write_fd = pipe
    os.write(write_fd, noise)
    with pytest.raises(ProtocolError, match="not a frame"):
        channel.receive(1.0)


def test_tensors_lie_aligned_and_apart() -> None:
    slots, size_bytes = lay_out([(1, 3, 5), (), (0, 7), (2,)], [4, 8, 4, 1])
    assert slots == (Slot(0, (1, 3, 5)), Slot(64, ()), Slot(128, (0, 7)), Slot(128, (2,)))
    assert size_bytes == 192


def test_a_layout_survives_the_wire() -> None:
    slots, _ = lay_out([(1, 3, 224, 224), (), (0, 7)], [4, 8, 4])
    assert unpack_layout(pack_layout(slots)) == slots
    assert unpack_layout(pack_layout(())) == ()


@pytest.mark.parametrize("broken", [b"", b"\x02\x00", pack_layout([Slot(0, (2, 3))])[:-1], pack_layout([]) + b"x"])
def test_half_a_layout_is_refused(broken: bytes) -> None:
    with pytest.raises(ProtocolError, match="layout"):
        unpack_layout(broken)
