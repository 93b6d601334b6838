"""The host target: what goes in comes out right, and what does not fit is refused in words."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from ashore.errors import (
    ArtifactError,
    ExecutionError,
    InputMismatch,
    ManifestInvalid,
    TargetUnavailable,
    UsageError,
)
from ashore.interfaces import Session
from ashore.types.artifact import Artifact
from ashore.types.manifest import Manifest
from ashore.types.target import TargetKind
from ashore.types.tensor import DynamicDim, TensorSpec
from ashore_runtimes.host import HostRuntime
from ashore_runtimes.session.session import RunnerSession
from edges import affine_inputs, affine_manifest, manifest_of

SUFFIXES = {"executorch": ".pte", "litert": ".tflite"}
BACKENDS = tuple(SUFFIXES)
HOST = HostRuntime().target("host")

Open = Callable[..., Session]


@pytest.fixture
def open_file(tiny_files: Path) -> Iterator[Open]:
    """``open_file("affine", "litert", …)``; what a test leaves open is closed."""
    opened = []

    def call(name: str, backend: str, manifest: Manifest | None = None, **settings: float) -> Session:
        file = tiny_files / (name + SUFFIXES[backend])
        if manifest is not None:
            manifest = replace(manifest, file=replace(manifest.file, sha256=sha256(file.read_bytes()).hexdigest()))
        artifact = Artifact(file, backend, manifest)
        opened.append(HOST.open(artifact, **settings))  # type: ignore[arg-type]  # settings are threads and timeout_s
        return opened[-1]

    yield call
    for session in opened:
        session.close()


@pytest.fixture(scope="module")
def affine(tiny_files: Path) -> Iterator[Session]:
    """A session many tests share; none of them may end it."""
    with HOST.open(Artifact(tiny_files / "affine.tflite", "litert")) as session:
        yield session


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_manifest_gives_the_names(open_file: Open, backend: str) -> None:
    manifest = affine_manifest(backend)
    session = open_file("affine", backend, manifest)
    given = affine_inputs()

    results = session.run(given)

    assert session.inputs == manifest.inputs and session.outputs == manifest.outputs
    assert list(results) == ["output_0", "output_1", "output_2"]
    np.testing.assert_array_equal(results["output_1"], given["apple"] + 1)
    np.testing.assert_array_equal(results["output_2"], given["zebra"] - 1)
    assert results["output_0"].shape == (2, 3) and results["output_0"].dtype == np.float32
    assert session.last_run_ns > 0


def test_both_engines_agree_on_the_same_model(open_file: Open) -> None:
    first, second = (
        open_file("affine", backend, affine_manifest(backend)).run(affine_inputs()) for backend in BACKENDS
    )
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("backend", "names"), [("executorch", ["input_0", "input_1"]), ("litert", ["zebra", "apple"])])
def test_a_bare_file_speaks_for_itself(open_file: Open, backend: str, names: list[str]) -> None:
    session = open_file("affine", backend)

    assert [spec.name for spec in session.inputs] == names
    assert [spec.shape for spec in session.inputs] == [(2, 4), (6,)]
    assert [spec.dtype for spec in session.inputs] == ["float32", "int64" if backend == "executorch" else "int32"]
    assert [spec.name for spec in session.outputs] == ["output_0", "output_1", "output_2"]
    assert [spec.shape for spec in session.outputs] == [(2, 3), (6,), (2, 4)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_dozen_inputs_keep_their_order(open_file: Open, backend: str) -> None:
    session = open_file("count", backend)
    given = {spec.name: np.full(2, 100.0 * index, np.float32) for index, spec in enumerate(session.inputs)}

    results = session.run(given)

    assert [spec.name.split("_")[1] for spec in session.inputs] == [str(index) for index in range(12)]
    assert [float(results[f"output_{index}"][0]) for index in range(12)] == [101.0 * index for index in range(12)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_dynamic_dimension_takes_every_size(open_file: Open, backend: str) -> None:
    session = open_file("sum", backend)
    first, second = (spec.name for spec in session.inputs)

    for rows in (3, 64, 1, 3):
        x = np.random.default_rng(rows).standard_normal((rows, 4), dtype=np.float32)
        (result,) = session.run({first: x, second: 2 * x}).values()
        np.testing.assert_allclose(result, 3 * x, rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_manifest_bounds_a_dynamic_dimension(open_file: Open, backend: str) -> None:
    rows = {0: DynamicDim("rows", 1, 64)}
    names = ("x", "y") if backend == "executorch" else ("args_0", "args_1")
    inputs = tuple(TensorSpec(name, (3, 4), "float32", dynamic=rows) for name in names)
    outputs = (TensorSpec("output_0", (3, 4), "float32", dynamic=rows),)
    session = open_file("sum", backend, manifest_of(backend, inputs, outputs))

    with pytest.raises(InputMismatch, match=rf"'{names[0]}' has shape \[65, 4\]; expected \[1\.\.64, 4\]"):
        session.run({name: np.zeros((65, 4), np.float32) for name in names})
    assert session.run({name: np.zeros((64, 4), np.float32) for name in names})["output_0"].shape == (64, 4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_error_of_the_engine_leaves_the_session_usable(open_file: Open, backend: str) -> None:
    session = open_file("sum", backend)
    first, second = (spec.name for spec in session.inputs)
    two, three = np.ones((2, 4), np.float32), np.ones((3, 4), np.float32)

    with pytest.raises(ExecutionError, match=f"running sum{SUFFIXES[backend]} with {backend} failed: "):
        session.run({first: two, second: three})

    np.testing.assert_array_equal(session.run({first: two, second: two})["output_0"], two + two)


@pytest.mark.parametrize("backend", BACKENDS)
def test_int8_tensors_cross_unchanged(open_file: Open, backend: str) -> None:
    session = open_file("turn", backend)
    x = np.array([[-128, -1, 0], [1, 2, 127]], np.int8)
    (result,) = session.run({session.inputs[0].name: x}).values()

    assert result.dtype == np.int8
    np.testing.assert_array_equal(result, x.T)


def test_a_quantized_edge_tells_its_scale(tiny_files: Path) -> None:
    with HOST.open(Artifact(tiny_files / "quantized.tflite", "litert")) as session:
        zebra = next(spec for spec in session.inputs if spec.name == "zebra")
        assert zebra.dtype == "int8" and zebra.quantization is not None
        stored = np.full((2, 4), zebra.quantization.zero_point, np.int8)
        results = session.run({"zebra": stored, "apple": np.arange(6, dtype=np.int32)})

    (spec,) = [spec for spec in session.outputs if spec.shape == (2, 4)]
    assert spec.quantization is not None
    real = (results[spec.name].astype(np.float32) - spec.quantization.zero_point) * spec.quantization.scale
    np.testing.assert_allclose(real, np.full((2, 4), -1.0), atol=0.05)


def test_results_belong_to_the_caller(affine: Session) -> None:
    first = affine.run(affine_inputs())
    kept = first["output_2"].copy()
    other = affine_inputs()
    other["zebra"] = other["zebra"] + 5
    affine.run(other)

    np.testing.assert_array_equal(first["output_2"], kept)
    first["output_2"][:] = 7  # writable


@pytest.mark.parametrize(
    "zebra",
    [
        np.arange(8, dtype=np.float32).reshape(4, 2).T,
        np.arange(16, dtype=np.float32).reshape(4, 4)[::2],
        np.full((2, 4), np.nan, np.float32),
    ],
    ids=["transposed", "strided", "not a number"],
)
def test_any_array_of_the_right_values_is_taken(affine: Session, zebra: np.ndarray) -> None:
    results = affine.run({**affine_inputs(), "zebra": zebra})
    np.testing.assert_array_equal(results["output_2"], zebra - 1)


def test_int64_beyond_the_files_int32_is_refused_with_the_value(affine: Session) -> None:
    given = affine_inputs()
    given["apple"][3] = 2**31
    with pytest.raises(InputMismatch, match=r"'apple' holds 2147483648, which does not fit the int32"):
        affine.run(given)
    given["apple"][3] = -(2**31)
    assert affine.run(given)["output_1"][3] == -(2**31) + 1


WRONG = {
    "'zebra' is float64; expected float32": {"zebra": np.zeros((2, 4))},
    "'zebra' is >f4; expected float32": {"zebra": np.zeros((2, 4), ">f4")},
    "array.astype(np.float32)": {"zebra": np.zeros((2, 4), np.float16)},
    "'apple' is int16; expected int32": {"apple": np.zeros(6, np.int16)},
    "'zebra' has shape [4, 2]; expected [2, 4]": {"zebra": np.zeros((4, 2), np.float32)},
    "'zebra' has shape []; expected [2, 4]": {"zebra": np.float32(1)},
    "'zebra' is a builtins.list; expected a numpy array": {"zebra": [[0.0] * 4] * 2},
    "unknown input 'lion'": {"lion": np.zeros(1)},
    "the model takes 'zebra' (float32 [2, 4]), 'apple' (int32 [6])": {"lion": np.zeros(1)},
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_inputs_are_named(affine: Session, words: str) -> None:
    with pytest.raises(InputMismatch) as caught:
        affine.run({**affine_inputs(), **WRONG[words]})
    assert words in str(caught.value)


def test_missing_inputs_are_named(affine: Session) -> None:
    with pytest.raises(InputMismatch, match=r"unknown input 'x'; missing input 'zebra', 'apple'"):
        affine.run({"x": np.zeros(1)})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: replace(m, inputs=m.inputs[:1]), "describes 1 inputs; the file has 2"),
        (lambda m: replace(m, inputs=tuple(replace(s, name=s.name + "s") for s in m.inputs)), "zebra, apple"),
        (lambda m: replace(m, outputs=(replace(m.outputs[0], dtype="int8"), *m.outputs[1:])), "as int8"),
        (lambda m: replace(m, inputs=(replace(m.inputs[0], shape=(2, 5)), m.inputs[1])), r"shape \[2, 5\]"),
    ],
    ids=["count", "names", "dtype", "shape"],
)
def test_a_manifest_of_another_file_is_refused(
    open_file: Open, change: Callable[[Manifest], Manifest], words: str
) -> None:
    with pytest.raises(ManifestInvalid, match=words):
        open_file("affine", "litert", change(affine_manifest("litert")))


def test_a_model_of_int64_keeps_its_type_in_a_file_of_int32(open_file: Open) -> None:
    manifest = affine_manifest("litert")
    wide = [replace(spec, dtype="int64") if spec.dtype == "int32" else spec for spec in manifest.inputs]
    wide_out = [replace(spec, dtype="int64") if spec.dtype == "int32" else spec for spec in manifest.outputs]
    session = open_file("affine", "litert", replace(manifest, inputs=tuple(wide), outputs=tuple(wide_out)))

    assert session.run(affine_inputs())["output_1"].dtype == np.int64


def test_a_callers_arrays_are_looked_at_once_a_run(affine: Session) -> None:
    """Not again while its answer is about to come: they may be large, or another thread's by then."""

    class Watched(dict[str, np.ndarray]):
        looks = 0

        def get(self, *words: object) -> Any:
            self.looks += 1
            return super().get(*words)  # type: ignore[call-overload]

    inputs = Watched(affine_inputs())
    for _ in range(20):
        affine.run(inputs)
    assert inputs.looks == 20 * len(inputs)


def test_threads_share_a_session_in_turns(affine: Session) -> None:
    wrong = []

    def work(seed: int) -> None:
        for step in range(50):
            zebra = np.full((2, 4), 1000.0 * seed + step, np.float32)
            result = affine.run({**affine_inputs(), "zebra": zebra})["output_2"]
            if not np.array_equal(result, zebra - 1):
                wrong.append((seed, step))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_engine_gets_the_threads_that_were_asked_for(open_file: Open, backend: str) -> None:
    for threads in (1, 3):
        session = open_file("affine", backend, affine_manifest(backend), threads=threads)
        session.run(affine_inputs())
        assert isinstance(session, RunnerSession)
        assert psutil.Process(session.pid).num_threads() == threads


@pytest.mark.parametrize("runner", ["native", "python"])
def test_litert_runs_without_torch(open_file: Open, monkeypatch: pytest.MonkeyPatch, runner: str) -> None:
    monkeypatch.setenv("ASHORE_RUNNER", runner)
    session = open_file("affine", "litert")
    assert session.runner == runner
    libraries = [Path(mapped.path).name.lower() for mapped in psutil.Process(session.pid).memory_maps()]
    assert any("litert" in name for name in libraries)
    assert not any("libtorch" in name for name in libraries)


def test_a_native_session_holds_no_python(open_file: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASHORE_RUNNER", "native")
    for backend in BACKENDS:
        session = open_file("affine", backend)
        libraries = [Path(mapped.path).name for mapped in psutil.Process(session.pid).memory_maps()]
        assert not any(name.startswith(("libpython", "libtorch")) for name in libraries)
        assert session.memory().peak_bytes < 40e6


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine has neither compiler nor a runner that was built before."""
    monkeypatch.delenv("ASHORE_RUNNER", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_models_run_through_python_and_the_target_says_so(
    open_file: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ASHORE_CACHE", str(tmp_path))
    info = HOST.describe()
    assert (info.runner, info.ready) == ("python", True)
    missing = "g++ and cmake and make are missing: apt-get install g++ cmake make"
    assert info.notes == (f"models run through Python until there is a native runner: {missing}",)
    with caplog.at_level("INFO", "ashore"):
        session = open_file("affine", "litert")
    assert session.runner == "python"
    assert session.run(affine_inputs())["output_1"][0] == 1
    assert "models run through Python, since there is no native runner: " in caplog.text


@pytest.mark.usefixtures("no_compiler")
def test_a_native_runner_that_was_asked_for_is_not_replaced(
    open_file: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ASHORE_CACHE", str(tmp_path))
    monkeypatch.setenv("ASHORE_RUNNER", "native")
    assert HOST.describe().problem == "g++ and cmake and make are missing: apt-get install g++ cmake make"
    with pytest.raises(TargetUnavailable, match="the native runner cannot be built"):
        open_file("affine", "litert")


def test_a_runner_nobody_knows_is_named(open_file: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASHORE_RUNNER", "rust")
    for ask in (HOST.describe, lambda: open_file("affine", "litert")):
        with pytest.raises(UsageError) as caught:
            ask()
        assert caught.value.message == "ASHORE_RUNNER is 'rust'"
        assert caught.value.hint == "it must be one of auto, native, python"


@pytest.mark.parametrize("runner", ["native", "python"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_buffers_of_a_session_are_filled_in_place(
    open_file: Open, monkeypatch: pytest.MonkeyPatch, backend: str, runner: str
) -> None:
    monkeypatch.setenv("ASHORE_RUNNER", runner)
    session = open_file("affine", backend, affine_manifest(backend))
    buffers = session.input_buffers()
    for step in range(3):
        for name, array in affine_inputs().items():
            buffers[name][...] = array + step
        results = session.run(buffers)
        np.testing.assert_array_equal(results["output_1"], affine_inputs()["apple"] + step + 1)
        np.testing.assert_array_equal(results["output_2"], affine_inputs()["zebra"] + step - 1)


def test_a_run_of_other_arrays_writes_over_the_buffers(open_file: Open) -> None:
    session = open_file("affine", "litert", affine_manifest("litert"))
    buffers = session.input_buffers()
    session.run(affine_inputs())
    np.testing.assert_array_equal(buffers["zebra"], affine_inputs()["zebra"])


def test_buffers_of_a_dynamic_dimension_have_the_size_that_is_told(open_file: Open) -> None:
    session = open_file("sum", "executorch")
    buffers = session.input_buffers()
    assert [array.shape for array in buffers.values()] == [spec.shape for spec in session.inputs]
    row = np.ones((1, 4), np.float32)
    assert [len(result) for result in session.run(dict.fromkeys(buffers, row)).values()] == [1]
    for array in buffers.values():
        array[...] = 2.0
    (result,) = session.run(buffers).values()
    np.testing.assert_array_equal(result, np.full(session.inputs[0].shape, 4.0))


def test_a_closed_session_has_no_buffers(open_file: Open) -> None:
    session = open_file("affine", "litert")
    session.close()
    with pytest.raises(ExecutionError, match="this session is over: it was closed"):
        session.input_buffers()


def test_two_sessions_live_side_by_side(open_file: Open) -> None:
    first, second = open_file("affine", "litert", threads=2), open_file("turn", "litert")
    assert first.run(affine_inputs())["output_1"][0] == 1
    assert second.run({second.inputs[0].name: np.ones((2, 3), np.int8)})["output_0"].shape == (3, 2)
    first.close()
    assert second.run({second.inputs[0].name: np.ones((2, 3), np.int8)})["output_0"].shape == (3, 2)


def test_the_host_describes_itself() -> None:
    info = HOST.describe()

    assert (info.id, info.kind, info.ready) == ("host", TargetKind.HOST, True)
    assert info.abi == {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
    assert info.cpu and info.os.startswith(platform.system())
    assert 1 <= info.cores <= (os.cpu_count() or 1)
    assert info.memory_bytes > 2**28
    assert info.backends == BACKENDS


def test_looking_at_the_host_imports_no_engine() -> None:
    program = """
import sys
from ashore_runtimes.host import HostRuntime
from ashore_runtimes.session.session import RunnerSession
HostRuntime().targets()[0].describe()
print(*{"torch", "executorch", "ai_edge_litert"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def _hide(monkeypatch: pytest.MonkeyPatch, *hidden: str) -> None:
    real = importlib.metadata.distribution

    def distribution(name: str) -> importlib.metadata.Distribution:
        if name in hidden:
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)


@pytest.mark.parametrize(("backend", "library"), [("executorch", "executorch"), ("litert", "ai-edge-litert")])
def test_a_missing_engine_is_named_with_the_command_that_adds_it(
    monkeypatch: pytest.MonkeyPatch, open_file: Open, backend: str, library: str
) -> None:
    _hide(monkeypatch, library)
    with pytest.raises(TargetUnavailable) as caught:
        open_file("affine", backend)
    assert f"needs {library}, which is not installed" in caught.value.message
    assert caught.value.hint == f'pip install "ashore[{backend}]"'
    assert backend not in HOST.describe().backends


def test_a_host_without_engines_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    _hide(monkeypatch, "executorch", "ai-edge-litert")
    assert HOST.describe().problem == 'no engine is installed: pip install "ashore[executorch,litert]"'


def test_there_is_one_host() -> None:
    assert [target.id for target in HostRuntime().targets()] == ["host"]
    with pytest.raises(TargetUnavailable, match="no target 'host:2'"):
        HostRuntime().target("host:2")


@pytest.mark.parametrize(
    ("settings", "words"), [({"threads": 0}, "threads is 0"), ({"timeout_s": 0.0}, r"timeout_s is 0\.0")]
)
def test_senseless_settings_are_refused(open_file: Open, settings: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_file("affine", "litert", **settings)


def test_a_foreign_backend_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no target can run files of backend 'coreml'"):
        HOST.open(Artifact(tmp_path / "x.mlpackage", "coreml"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"there is no file .*gone\.tflite"):
        HOST.open(Artifact(tmp_path / "gone.tflite", "litert"))
