"""A session and a runner that misbehaves: whatever arrives, or does not, becomes an error that says what happened.

The runner here is a script that gives prepared answers, so that each can be wrong in its own way.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from ashore.errors import (
    AshoreError,
    ChecksumMismatch,
    EngineCrashed,
    ExecutionError,
    InputMismatch,
    TargetUnavailable,
    UsageError,
)
from ashore.types.artifact import Artifact
from ashore.types.reading import PaceReading
from ashore_runtimes.runner.launch import Launch
from ashore_runtimes.session.session import RunnerSession
from ashore_runtimes.wire.frames import Kind, Slot, join_layout, pack_layout

SCRIPT = """
import json, os, sys, time
from ashore_runtimes.wire.frames import Channel
channel = Channel(0, 1, max_body_bytes=2**31 - 1)
for index, answer in enumerate(json.loads(sys.argv[1])):
    if index:
        channel.receive()
    if answer.startswith("!"):
        exec(answer[1:])
    else:
        os.write(1, bytes.fromhex(answer))
try:
    while True:
        channel.receive()
except EOFError:
    pass
"""
MEMORY = {"rss_bytes": 1000, "peak_bytes": 2000, "method": "imagined"}
TENSOR = {"name": "x", "shape": [2], "dtype": "float32", "dynamic": {}, "quantization": None}
GIVEN = {"x": np.ones(2, np.float32)}


def frame(kind: Kind, body: object = b"") -> str:
    """As the script's argument takes it."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (struct.pack("<IB", len(data), kind) + data).hex()


def hello(**changes: Any) -> str:
    return frame(
        Kind.HELLO, {"runner": "native", "engine": "litert", "engine_version": "2", "memory": MEMORY} | changes
    )


def loaded(**changes: Any) -> str:
    output = TENSOR | {"name": "y"}
    facts = {"inputs": [TENSOR], "outputs": [output], "load_ns": 5, "memory": MEMORY, "planned_bytes": 64}
    return frame(Kind.LOADED, facts | changes)


def ran(layout: bytes, data: bytes = b"") -> str:
    return frame(Kind.RAN, struct.pack("<Q", 7) + layout + data)


def at(offset: int, *shape: int) -> bytes:
    return join_layout(pack_layout([Slot(offset, shape)]))


def failed(fault: str, message: str = "no luck") -> str:
    return frame(Kind.FAILED, {"error": fault, "message": message})


INLINE = ran(at(0, 2), np.array([3, 4], np.float32).tobytes())

Open = Callable[..., RunnerSession]


@pytest.fixture
def open_scripted(tmp_path: Path) -> Any:
    file = tmp_path / "net.tflite"
    file.write_bytes(b"a model")
    opened = []

    def call(*answers: str, timeout_s: float = 20.0, count_ops: bool = False, **launch: Any) -> RunnerSession:
        words = Launch((sys.executable, "-c", SCRIPT, json.dumps(answers)), **({"shared": False} | launch))
        opened.append(RunnerSession(Artifact(file, "litert"), words, timeout_s=timeout_s, count_ops=count_ops))
        return opened[-1]

    before = psutil.Process().num_fds()
    yield call
    for session in opened:
        session.close()
    assert psutil.Process().num_fds() == before
    assert not psutil.Process().children()


def test_what_the_runner_tells_is_the_sessions(open_scripted: Open) -> None:
    times = frame(Kind.REPEATED, struct.pack("<3Q", 8, 9, 10))
    pace = frame(Kind.PACE_IS, {"work": "a product", "rounds_ns": [150, 151]})
    ops = {"runs": 4, "ops": [{"name": "a", "type": "CONV", "delegated": True, "ns": 6, "calls": 4}]}
    now = MEMORY | {"swap_bytes": 1, "pss_bytes": 2}
    session = open_scripted(
        hello(), loaded(), INLINE, times, frame(Kind.MEMORY_IS, now), frame(Kind.OPS_ARE, ops), pace, count_ops=True
    )

    assert (session.runner, session.engine_version, session.load_ns, session.planned_bytes) == ("native", "2", 5, 64)
    assert session.baseline.rss_bytes == 1000 and session.loaded.swap_bytes is None
    np.testing.assert_array_equal(session.run(GIVEN)["y"], np.array([3, 4], np.float32))
    assert session.last_run_ns == 7
    assert session.repeat(3) == [8, 9, 10]
    assert session.last_run_ns == 10
    reading = session.memory()
    assert (reading.peak_bytes, reading.swap_bytes, reading.pss_bytes, reading.method) == (2000, 1, 2, "imagined")
    assert [(op.name, op.type, op.delegated, op.ns, op.calls) for op in session.ops().ops] == [
        ("a", "CONV", True, 6, 4)
    ]
    assert session.pace() == PaceReading("a product", (150, 151))


def test_what_the_runner_does_not_tell_is_absent(open_scripted: Open) -> None:
    bare = frame(Kind.HELLO, {"runner": "python", "engine": "litert", "engine_version": "2"})
    facts = frame(Kind.LOADED, {"inputs": [TENSOR], "outputs": [TENSOR], "load_ns": 5})
    session = open_scripted(bare, facts, frame(Kind.MEMORY_IS, {}))

    assert session.planned_bytes is None
    for read in (lambda: session.baseline, lambda: session.loaded, session.memory):
        with pytest.raises(ExecutionError, match="the runner cannot tell its memory"):
            read()


NONSENSE = {
    "no JSON": (frame(Kind.HELLO, b"{"), "starting the litert engine"),
    "HELLO without a runner": (frame(Kind.HELLO, {"engine": "litert"}), "KeyError: 'runner'"),
    "another answer": (frame(Kind.RAN), "RAN in place of HELLO"),
    "a request": (frame(Kind.RUN), "not a frame"),
    "text": (b"* daemon started successfully *\n".hex(), "not a frame"),
    "a failure without words": (frame(Kind.FAILED, {"error": "x"}), "KeyError: 'message'"),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_a_greeting_that_is_none_is_told_at_once(open_scripted: Open, case: str) -> None:
    answer, words = NONSENSE[case]
    with pytest.raises(EngineCrashed) as caught:
        open_scripted(answer)
    assert "the engine's process answered out of turn while starting the litert engine" in caught.value.message
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": [TENSOR | {"dtype": "blob"}]}, "blob"),
        ({"outputs": [{"name": "y"}]}, "AttributeError|KeyError"),
        ({"inputs": [TENSOR | {"dynamic": {"0": [1]}}]}, "ValueError"),
        ({"load_ns": None}, "TypeError"),
        ({"inputs": 5}, "TypeError"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(open_scripted: Open, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(EngineCrashed, match=rf"answered out of turn while loading net\.tflite.*({words})"):
        open_scripted(hello(), loaded(**changes))


@pytest.mark.parametrize(
    "body", [{}, {"work": "a"}, {"rounds_ns": [5]}, {"work": "a", "rounds_ns": []}, {"work": "a", "rounds_ns": [5, 0]}]
)
def test_a_pace_that_makes_no_sense_ends_the_runner(open_scripted: Open, body: dict[str, Any]) -> None:
    session = open_scripted(hello(), loaded(), frame(Kind.PACE_IS, body))
    with pytest.raises(EngineCrashed, match=r"answered out of turn while running net\.tflite"):
        session.pace()


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xff\xff\xff",
        at(0),
        join_layout(pack_layout([])),
        at(0, 2**62, 2**62),
        at(2**63, 2),
        at(1 << 30, 2),
        at(0, 3, 0, 2**63),
        join_layout(b"\x01\x00"),
    ],
    ids=["empty", "long layout", "scalar", "no tensors", "huge", "far", "beyond the end", "impossible", "half a slot"],
)
def test_outputs_that_are_not_there_are_not_read(open_scripted: Open, shared: bool, body: bytes) -> None:
    answer = frame(Kind.RAN, (struct.pack("<Q", 7) + body) if body else b"")
    session = open_scripted(hello(), loaded(), answer, shared=shared)
    with pytest.raises(EngineCrashed, match=r"answered out of turn while running net\.tflite with litert"):
        session.run(GIVEN)
    with pytest.raises(ExecutionError, match="this session is over: the engine's process answered out of turn"):
        session.run(GIVEN)


def test_a_runner_cannot_take_shared_memory_away(open_scripted: Open) -> None:
    """A file cut short under a mapping would kill the process that looks at it."""
    cut = "!os.ftruncate(int(sys.argv[4]), 4096); os.ftruncate(int(sys.argv[4]), 0)"
    session = open_scripted(hello(), loaded(), cut, shared=True)
    with pytest.raises(EngineCrashed, match="Operation not permitted"):
        session.run(GIVEN)


def test_too_few_times_are_noticed(open_scripted: Open) -> None:
    session = open_scripted(hello(), loaded(), INLINE, frame(Kind.REPEATED, struct.pack("<2Q", 1, 2)))
    session.run(GIVEN)
    with pytest.raises(EngineCrashed, match="an answer that cannot be read"):
        session.repeat(3)


FAULTS = {
    "ChecksumMismatch": (ChecksumMismatch, "convert the model again"),
    "InvalidModel": (ExecutionError, "the engine's own message"),
    "Unsupported": (ExecutionError, "ashore doctor"),
    "InvalidInput": (InputMismatch, "refuses these inputs"),
    "EngineFailed": (ExecutionError, "the engine's own message"),
    "ImportError": (TargetUnavailable, "reinstall"),
    "ProtocolError": (EngineCrashed, "defect of ashore"),
    "SomethingNew": (ExecutionError, "another version"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_code_word_has_its_error(open_scripted: Open, fault: str) -> None:
    error, hint = FAULTS[fault]
    speak = "!os.write(2, b'what the engine printed'); os.write(1, bytes.fromhex('" + failed(fault) + "'))"
    with pytest.raises(AshoreError) as caught:
        open_scripted(hello(), speak)
    assert type(caught.value) is error
    assert caught.value.message == "loading net.tflite with litert failed: no luck\nwhat the engine printed"
    assert hint in caught.value.hint


def test_the_conversation_goes_on_after_a_failure(open_scripted: Open) -> None:
    session = open_scripted(hello(), loaded(), failed("EngineFailed"), INLINE)
    with pytest.raises(ExecutionError, match=r"running net\.tflite with litert failed: no luck"):
        session.run(GIVEN)
    assert session.run(GIVEN)["y"][1] == 4


def test_a_runner_that_does_not_come_up_is_the_targets_trouble(open_scripted: Open) -> None:
    with pytest.raises(TargetUnavailable) as caught:
        open_scripted("!sys.exit('libgone.so: cannot open shared object file')")
    assert caught.value.message == (
        "the engine's process ended with exit code 1 while starting the litert engine\n"
        "libgone.so: cannot open shared object file"
    )


def test_a_runner_that_never_comes_up_is_ended_at_its_limit(open_scripted: Open) -> None:
    with pytest.raises(ExecutionError, match=r"starting the litert engine took longer than the limit of 0\.5 s"):
        open_scripted("!time.sleep(60)", start_limit_s=0.5)


def test_a_runner_that_does_not_listen_is_ended_at_the_limit(open_scripted: Open) -> None:
    """More than a pipe holds, so that the request itself gets stuck."""
    big = TENSOR | {"shape": [1 << 20]}
    deaf = f"!os.write(1, bytes.fromhex('{loaded(inputs=[big])}')); time.sleep(60)"
    session = open_scripted(hello(), deaf, timeout_s=3.0)
    with pytest.raises(ExecutionError, match=r"running net\.tflite with litert took longer than the limit of 3 s"):
        session.run({"x": np.zeros(1 << 20, np.float32)})


def test_the_launch_words_the_end_and_is_told_of_it(open_scripted: Open) -> None:
    ends: list[int] = []
    session = open_scripted(
        hello(),
        loaded(),
        "!os._exit(7)",
        explain=lambda ending: TargetUnavailable(
            f"{ending.doing}: {ending.returncode}, {ending.greeted}", "plug it in"
        ),
        after=ends.append,
    )
    with pytest.raises(TargetUnavailable) as caught:
        session.run(GIVEN)
    assert caught.value.message == "running net.tflite with litert: 7, True"
    assert ends == [7]
    session.close()
    assert ends == [7]


def test_operators_are_asked_for_in_advance(open_scripted: Open) -> None:
    with pytest.raises(UsageError) as caught:
        open_scripted(hello(), loaded()).ops()
    assert (caught.value.message, caught.value.hint) == (
        "this session does not time operators",
        "open it with count_ops=True",
    )


def test_only_a_run_can_be_repeated(open_scripted: Open) -> None:
    session = open_scripted(hello(), loaded(), INLINE)
    with pytest.raises(UsageError, match="there is no run to repeat yet"):
        session.repeat(1)
    session.run(GIVEN)
    for runs in (0, -1, 10**7):
        with pytest.raises(UsageError, match=f"{runs} runs were asked for"):
            session.repeat(runs)
