"""The native runner itself, asked in its own frames: on this machine, as arm64 under qemu, and as a phone's bundle."""

from __future__ import annotations

import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ashore_runtimes.runner.native_build import arm64_build, bundle, host_build
from ashore_runtimes.runner.python_runner import python_launch
from ashore_runtimes.wire.frames import Kind, Slot, join_layout, pack_layout
from runner_client import RunnerClient

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the native runner is built on Linux only")
SUFFIXES = {"executorch": ".pte", "litert": ".tflite"}
ENGINES = tuple(SUFFIXES)
QEMU = ("qemu-aarch64", "-cpu", "cortex-a76")
RNG = np.random.default_rng(0)
ZEBRA = RNG.normal(size=(2, 4)).astype(np.float32)
APPLES = {"executorch": np.arange(6, dtype=np.int64), "litert": np.arange(6, dtype=np.int32)}

Start = Callable[..., RunnerClient]


@cache
def program(place: str) -> tuple[str, ...]:
    if place == "host":
        return (str(host_build().runner),)
    if shutil.which("qemu-aarch64") is None or shutil.which("aarch64-linux-gnu-g++") is None:
        pytest.skip("arm64 is not tested: apt-get install qemu-user g++-aarch64-linux-gnu")
    build = arm64_build()
    if place == "arm64":
        return (*QEMU, "-L", str(build.sysroot), str(build.runner))
    folder = bundle(build)
    return (*QEMU, f"{folder}/ld-linux-aarch64.so.1", "--library-path", str(folder), f"{folder}/ashore-runner")


@pytest.fixture
def start() -> Iterator[Start]:
    """``start("litert", place="arm64", shared=True)``; what a test leaves running is ended."""
    running = []

    def call(engine: str, place: str = "host", shared: bool = False) -> RunnerClient:
        argv = python_launch(engine, 1).argv if place == "python" else (*program(place), engine, "--threads", "1")
        running.append(RunnerClient(argv, shared))
        return running[-1]

    yield call
    for client in running:
        client.process.kill()
        client.close()


def test_it_introduces_itself(start: Start) -> None:
    hello = start("litert").hello
    assert (hello["runner"], hello["engine"], hello["engine_version"].split(".")[0]) == ("native", "litert", "2")
    assert 0 < hello["memory"]["rss_bytes"] <= hello["memory"]["peak_bytes"] < 50e6


@pytest.mark.parametrize(
    ("engine", "name"), [("executorch", "affine.pte"), ("litert", "affine.tflite"), ("litert", "quantized.tflite")]
)
def test_it_says_and_answers_what_the_runner_in_python_does(
    start: Start, tiny_files: Path, engine: str, name: str
) -> None:
    file = tiny_files / name
    native, python = start(engine, shared=True), start(engine, "python", shared=True)
    facts, expected_facts = native.load(file), python.load(file)
    given = ZEBRA.astype(expected_facts["inputs"][0]["dtype"]), APPLES[engine]

    assert facts["inputs"] == expected_facts["inputs"] and facts["outputs"] == expected_facts["outputs"]
    assert facts["load_ns"] > 0 and facts["memory"]["rss_bytes"] > native.hello["memory"]["rss_bytes"]
    for got, expected in zip(native.run(*given).outputs, python.run(*given).outputs, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "inline"])
@pytest.mark.parametrize("place", ["host", "arm64", "bundle"])
@pytest.mark.parametrize("engine", ENGINES)
def test_everywhere_the_same_answers(start: Start, tiny_files: Path, engine: str, place: str, shared: bool) -> None:
    client = start(engine, place, shared)
    client.load(tiny_files / ("affine" + SUFFIXES[engine]))
    for zebra in (ZEBRA, ZEBRA + 1):
        linear, counted, less = client.run(zebra, APPLES[engine]).outputs
        assert linear.shape == (2, 3) and np.abs(linear).max() > 0.1
        np.testing.assert_array_equal(counted, APPLES[engine] + 1)
        np.testing.assert_array_equal(less, zebra - 1)
    assert client.close() == 0


def test_int8_is_the_same_to_the_bit_on_arm64(start: Start, tiny_files: Path) -> None:
    answers = []
    for place in ("host", "arm64", "bundle"):
        client = start("litert", place)
        client.load(tiny_files / "quantized.tflite")
        answers.append(client.run((ZEBRA * 40).astype(np.int8), APPLES["litert"]).outputs[0])
    assert answers[0].any()
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[2])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_dozen_inputs_keep_their_order(start: Start, tiny_files: Path, engine: str) -> None:
    client = start(engine)
    client.load(tiny_files / ("count" + SUFFIXES[engine]))
    given = [np.full(2, 100 * index, np.float32) for index in range(12)]
    answered = client.run(*given).outputs
    assert [float(output[0]) for output in answered] == [101.0 * index for index in range(12)]


@pytest.mark.parametrize("place", ["host", "arm64"])
@pytest.mark.parametrize("engine", ENGINES)
def test_sizes_may_change_where_the_model_allows_it(start: Start, tiny_files: Path, engine: str, place: str) -> None:
    client = start(engine, place)
    facts = client.load(tiny_files / ("sum" + SUFFIXES[engine]))
    assert facts["inputs"][0]["dynamic"]["0"][0] == 1
    for rows in (3, 1, 64, 7):
        given = RNG.normal(size=(rows, 4)).astype(np.float32)
        np.testing.assert_array_equal(client.run(given, given).outputs[0], given + given)

    refused = client.run(given, given[:5])
    assert refused["error"] in ("InvalidInput", "EngineFailed") and refused["message"]
    np.testing.assert_array_equal(client.run(given, given).outputs[0], given + given)


def test_a_size_beyond_the_limit_is_named(start: Start, tiny_files: Path) -> None:
    client = start("executorch")
    client.load(tiny_files / "sum.pte")
    too_many = np.zeros((65, 4), np.float32)
    assert client.run(too_many, too_many) == {
        "error": "InvalidInput",
        "message": "input 'input_0' takes 64x4, not 65x4: axis 0 takes 1 to 64",
    }


def rewired(tiny_files: Path, folder: Path, change: Callable[[Any], None]) -> Path:
    """``affine.tflite`` with its tables changed."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    raw = (tiny_files / "affine.tflite").read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(raw, 0))
    change(model)
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    (folder / "rewired.tflite").write_bytes(builder.Output())
    return folder / "rewired.tflite"


def test_an_output_may_be_an_input_or_another_output(start: Start, tiny_files: Path, tmp_path: Path) -> None:
    """LiteRT fills one of the places that one tensor has, or reads its input from an output's."""

    def change(model: Any) -> None:
        graph, signature = model.subgraphs[0], model.signatureDefs[0]
        graph.outputs = [graph.outputs[0], graph.inputs[0], graph.outputs[0]]
        for place, tensor in zip(signature.outputs, graph.outputs, strict=True):
            place.tensorIndex = tensor

    client = start("litert")
    facts = client.load(rewired(tiny_files, tmp_path, change))
    answered = dict(
        zip([fact["name"] for fact in facts["outputs"]], client.run(ZEBRA, APPLES["litert"]).outputs, strict=True)
    )
    assert set(answered) == {"output_0", "output_1", "output_2"}
    np.testing.assert_array_equal(answered["output_1"], ZEBRA)
    assert answered["output_0"].any()
    np.testing.assert_array_equal(answered["output_0"], answered["output_2"])


def test_an_absurd_shape_in_a_file_is_refused(start: Start, tiny_files: Path, tmp_path: Path) -> None:
    def change(model: Any) -> None:
        model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].shape = [2**30, 2**30]

    refused = start("litert").load(rewired(tiny_files, tmp_path, change))
    assert refused["error"] == "Unsupported"
    assert refused["message"].startswith("'zebra' of shape 1073741824x1073741824 needs more memory than this machine")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_wrong_sha256_is_noticed_before_anything_is_parsed(start: Start, tmp_path: Path, engine: str) -> None:
    """The file is no model: only the hash can be what the first complaint is about."""
    file = tmp_path / "noise"
    for size in (0, 1, 55, 56, 64, 119, 1_000_003):
        noise = RNG.bytes(size)
        file.write_bytes(noise)
        right, wrong = sha256(noise).digest(), sha256(noise + b"!").digest()
        client = start(engine)
        assert client.load(file, wrong) == {
            "error": "ChecksumMismatch",
            "message": f"the file's SHA-256 is {right.hex()}, not {wrong.hex()}",
        }
        assert client.load(file, right)["error"] == "InvalidModel"
        assert client.close() == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_that_cannot_be_loaded_leaves_the_runner_at_work(
    start: Start, tiny_files: Path, tmp_path: Path, engine: str
) -> None:
    whole = tiny_files / ("affine" + SUFFIXES[engine])
    cut = tmp_path / whole.name
    cut.write_bytes(whole.read_bytes()[:600])
    client = start(engine)
    assert client.load(tmp_path / "nowhere")["message"] == f"cannot open {tmp_path}/nowhere: No such file or directory"
    assert client.load(tmp_path)["message"] == f"{tmp_path} is not a regular file"
    assert client.load(cut)["error"] == "InvalidModel"
    assert client.ask(Kind.RUN, join_layout(pack_layout([])))["message"] == "no model is loaded"
    assert client.load(whole)["planned_bytes" if engine == "executorch" else "load_ns"] > 0
    assert client.load(whole)["message"] == "a model is loaded already"


ABSURD = {
    "no layout": (b"\1", "ProtocolError", "ends 3 bytes too early"),
    "layout beyond the frame": (struct.pack("<I", 99), "ProtocolError", "the layout is too long"),
    "layout cut off": (join_layout(b"\2\0" + bytes(8)), "ProtocolError", "cut off"),
    "rank 200": (join_layout(b"\1\0" + bytes(8) + b"\xc8"), "ProtocolError", "a tensor of 200 dimensions"),
    "one input": (join_layout(pack_layout([Slot(0, (2, 4))])), "InvalidInput", "takes 2 inputs, not 1"),
    "huge": (join_layout(pack_layout([Slot(0, (2**40, 2**40)), Slot(0, (6,))])), "InvalidInput", "more memory"),
    "far away": (join_layout(pack_layout([Slot(2**63, (2, 4)), Slot(0, (6,))])), "ProtocolError", "inputs end at byte"),
    "off the end": (
        join_layout(pack_layout([Slot(0, (2, 4)), Slot(4096, (6,))])),
        "ProtocolError",
        "inputs end at byte",
    ),
    "crooked": (join_layout(pack_layout([Slot(4, (2, 4)), Slot(64, (6,))])), "ProtocolError", "not aligned"),
}


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "inline"])
def test_absurd_layouts_are_refused_and_the_next_run_works(start: Start, tiny_files: Path, shared: bool) -> None:
    client = start("executorch", shared=shared)
    client.load(tiny_files / "affine.pte")
    for body, error, message in ABSURD.values():
        refused = client.ask(Kind.RUN, body)
        assert refused["error"] == error and message in refused["message"]
        assert client.run(ZEBRA, APPLES["executorch"]).outputs[2].shape == (2, 4)


@pytest.mark.parametrize("noise", [b"hello, world", struct.pack("<IB", 2**32 - 1, 1), struct.pack("<IB", 0, 0x5A)])
def test_noise_in_place_of_a_frame_ends_the_runner(start: Start, noise: bytes) -> None:
    client = start("litert")
    assert client.process.stdin is not None
    client.process.stdin.write(noise)
    client.process.stdin.flush()
    assert client._receive()["error"] == "ProtocolError"
    assert client.process.wait(10) == 76


@pytest.mark.parametrize("engine", ENGINES)
def test_repeating_memory_and_operators(start: Start, tiny_files: Path, engine: str) -> None:
    client = start(engine)
    client.load(tiny_files / ("affine" + SUFFIXES[engine]), count_ops=True)
    assert client.ask(Kind.REPEAT, struct.pack("<I", 1))["message"] == "no inputs are bound"
    first = client.run(ZEBRA, APPLES[engine])
    repeated = client.ask(Kind.REPEAT, struct.pack("<I", 20))
    assert client.ask(Kind.REPEAT, struct.pack("<I", 0))["message"] == "cannot repeat 0 times"

    told = client.ask(Kind.OPS)
    assert len(repeated) == 20 and min(repeated) > 0 and told["runs"] == 21
    assert {op["delegated"] for op in told["ops"]} == {True, False}
    assert {op["calls"] for op in told["ops"]} == {21}
    assert "Fully Connected (NC, F32) GEMM" in [op["type"] for op in told["ops"] if op["delegated"]]
    # What the operators took is part of what the runs took, and no operator counts twice.
    assert 0 < sum(op["ns"] for op in told["ops"]) <= first.engine_ns + sum(repeated)
    memory = client.ask(Kind.MEMORY)
    assert 0 < memory["rss_bytes"] <= memory["peak_bytes"] and memory["method"] == "/proc/self/status"


def test_operators_are_counted_only_where_asked(start: Start, tiny_files: Path) -> None:
    client = start("executorch")
    client.load(tiny_files / "affine.pte")
    assert client.ask(Kind.OPS)["message"] == "the model was not opened to count operator times"


@pytest.mark.parametrize("place", ["host", "arm64", "bundle"])
def test_the_pace_of_its_core_is_told_at_any_time(start: Start, tiny_files: Path, place: str) -> None:
    client = start("litert", place)
    before = client.ask(Kind.PACE)
    client.load(tiny_files / "affine.tflite")
    first = client.run(ZEBRA, APPLES["litert"]).outputs
    after = client.ask(Kind.PACE)
    assert before["work"] == after["work"] and "128x128" in after["work"]
    assert [len(each["rounds_ns"]) for each in (before, after)] == [4, 4]
    assert min(before["rounds_ns"] + after["rounds_ns"]) > 0
    np.testing.assert_array_equal(client.run(ZEBRA, APPLES["litert"]).outputs[0], first[0])


def test_an_unknown_engine() -> None:
    client = RunnerClient((*program("host"), "torch", "--threads", "1"))
    assert client.hello == {"error": "ImportError", "message": "there is no engine 'torch'"}
    assert client.close() == 69
