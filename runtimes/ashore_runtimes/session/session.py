"""A model loaded by a runner, wherever that runs."""

from __future__ import annotations

import os
import struct
import threading
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from ashore.errors import ExecutionError, UsageError
from ashore.types.artifact import Artifact
from ashore.types.reading import MemoryReading, OpTimes, PaceReading
from ashore.types.tensor import Array, Sample
from ashore_runtimes.runner.launch import Launch
from ashore_runtimes.session.answers import Loaded, read_loaded, read_memory, read_ops, read_pace, read_repeated
from ashore_runtimes.session.child import Child, Coming
from ashore_runtimes.session.edges import match_edge
from ashore_runtimes.session.inputs import accept_inputs
from ashore_runtimes.session.transport import InlineTransport, SharedTransport, Transport
from ashore_runtimes.wire.frames import Kind, LoadFlag, pack_frame

_T = TypeVar("_T")

_RUNS = struct.Struct("<I")
MAX_REPEATS = 1_000_000
"""Times of more runs would not fit into one frame."""


class RunnerSession:
    """Implements ``ashore.interfaces.Session``. Several threads may share one; their runs take turns.

    Args:
        launch: how the runner is started.
        timeout_s: longest time to load the model, and longest time of each run.
        count_ops: have the engine time its operators, for ``ops``.
        model_path: the model file as the runner sees it; None where it sees the same files as this process.
        local: whether the started process is the runner itself, so that ``pid`` tells of it.

    Raises:
        ArtifactError: the file is not the one that the manifest vouches for.
        ExecutionError: the engine refuses the file; EngineCrashed where it died of it.
        TargetError: the runner cannot be started.
    """

    def __init__(
        self,
        artifact: Artifact,
        launch: Launch,
        *,
        timeout_s: float = 300.0,
        count_ops: bool = False,
        model_path: str | None = None,
        local: bool = True,
    ) -> None:
        self._timeout_s = timeout_s
        self._count_ops = count_ops
        self._lock = threading.Lock()
        self._child = Child(launch, f"starting the {artifact.backend} engine")
        # Ends the child of a session that is forgotten, or still open when the program ends.
        self._finalizer = weakref.finalize(self, self._child.end)
        self.pid: int | None = self._child.process.pid if local else None
        self.last_run_ns, self._has_run = 0, False
        try:
            self._load(artifact, str(artifact.file.absolute()) if model_path is None else model_path)
        except BaseException:
            self._child.end()
            raise

    def _load(self, artifact: Artifact, path: str) -> None:
        hello = self._child.greet()
        self.runner, self.engine_version, self._baseline = hello.runner, hello.engine_version, hello.memory
        self._child.doing = f"loading {artifact.file.name} with {artifact.backend}"
        loaded = self._ask(Kind.LOAD, _load_request(artifact, path, self._count_ops), Kind.LOADED, read_loaded)
        self.load_ns, self.planned_bytes, self._loaded = loaded.load_ns, loaded.planned_bytes, loaded.memory
        self._transport = self._make_transport(artifact, loaded)
        self._child.doing = f"running {artifact.file.name} with {artifact.backend}"

    def _make_transport(self, artifact: Artifact, loaded: Loaded) -> Transport:
        inputs = match_edge("inputs", loaded.inputs, artifact)
        outputs = match_edge("outputs", loaded.outputs, artifact)
        self.inputs, self.outputs = inputs.specs, outputs.specs
        self._in_file, self._dtypes = inputs.in_file, inputs.dtypes
        fds = self._child.shared_fds
        if not fds:
            return InlineTransport(inputs, outputs)
        return SharedTransport((fds[0], fds[1]), inputs, outputs, self._child.inputs_at)

    def run(self, inputs: Mapping[str, Array]) -> Sample:
        """One inference; the returned arrays belong to the caller. Raises as ``ashore.interfaces.Session.run`` says."""
        arrays = accept_inputs(self._in_file, self._dtypes, inputs)
        with self._lock:
            self._check_open()
            request = self._transport.write(arrays)
            coming = Coming(self.last_run_ns / 1e9, self._rehearse) if self._has_run else None
            ask = self._child.ask
            self.last_run_ns, results = ask(request, Kind.RAN, self._transport.read, self._timeout_s, coming)
            self._has_run = True
            return results

    def _rehearse(self) -> None:
        """All that comes before and after a run, but for the caller's arrays: those are no longer looked at."""
        placed = self._transport.rehearse()
        inputs = {spec.name: place for spec, place in zip(self._in_file, placed, strict=False)}
        if inputs:
            accept_inputs(self._in_file, self._dtypes, inputs)

    def input_buffers(self) -> Sample:
        """Raises as ``ashore.interfaces.Session.input_buffers`` says."""
        with self._lock:
            self._check_open()
            places = self._transport.places([spec.shape for spec in self._in_file])
            return {spec.name: place for spec, place in zip(self._in_file, places, strict=True)}

    def repeat(self, runs: int) -> list[int]:
        """Raises as ``ashore.interfaces.Session.repeat`` says. The limit is that of one run, times ``runs``."""
        if not 1 <= runs <= MAX_REPEATS:
            raise UsageError(f"{runs} runs were asked for", f"1 to {MAX_REPEATS} are allowed")
        with self._lock:
            self._check_open()
            if not self._has_run:
                raise UsageError("there is no run to repeat yet", "call run(inputs) first")
            read = partial(read_repeated, runs=runs)
            times_ns = self._ask(Kind.REPEAT, _RUNS.pack(runs), Kind.REPEATED, read, self._timeout_s * runs)
            self.last_run_ns = times_ns[-1]
            return times_ns

    def memory(self) -> MemoryReading:
        """Raises as ``ashore.interfaces.Session.memory`` says."""
        with self._lock:
            self._check_open()
            return _known(self._ask(Kind.MEMORY, b"", Kind.MEMORY_IS, read_memory))

    @property
    def baseline(self) -> MemoryReading:
        return _known(self._baseline)

    @property
    def loaded(self) -> MemoryReading:
        return _known(self._loaded)

    def ops(self) -> OpTimes:
        """Raises as ``ashore.interfaces.Session.ops`` says."""
        if not self._count_ops:
            raise UsageError("this session does not time operators", "open it with count_ops=True")
        with self._lock:
            self._check_open()
            return self._ask(Kind.OPS, b"", Kind.OPS_ARE, read_ops)

    def pace(self) -> PaceReading:
        """Raises as ``ashore.interfaces.TellsPace.pace`` says."""
        with self._lock:
            self._check_open()
            return self._ask(Kind.PACE, b"", Kind.PACE_IS, read_pace)

    def _ask(
        self,
        kind: Kind,
        body: bytes,
        answer: Kind,
        read: Callable[[bytes], _T],
        timeout_s: float | None = None,
    ) -> _T:
        return self._child.ask(pack_frame(kind, body), answer, read, timeout_s or self._timeout_s)

    def _check_open(self) -> None:
        if self._child.over:
            raise ExecutionError(f"this session is over: {self._child.over}", "open a new session")

    def close(self) -> None:
        """End the runner; after a run that another thread has under way. Closing twice does nothing."""
        with self._lock:
            self._finalizer()
            self._transport.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _load_request(artifact: Artifact, path: str, count_ops: bool) -> bytes:
    """What ashore made comes with its hash, so that the runner checks the very bytes that it loads."""
    sha256 = bytes.fromhex(artifact.manifest.file.sha256) if artifact.manifest else b""
    flags = (LoadFlag.COUNT_OPS if count_ops else 0) | (LoadFlag.SHA256 if sha256 else 0)
    return bytes([flags]) + sha256 + os.fsencode(path)


def _known(reading: MemoryReading | None) -> MemoryReading:
    if reading is None:
        raise ExecutionError("the runner cannot tell its memory", "its system has no /proc/self/status")
    return reading
