"""A model loaded in a child process of this machine."""

from __future__ import annotations

import json
import os
import struct
import threading
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from ashore.errors import ExecutionError
from ashore.types.artifact import Artifact
from ashore.types.tensor import Array, Sample
from ashore_runtimes.child import Child
from ashore_runtimes.edges import match_edge
from ashore_runtimes.frames import Kind
from ashore_runtimes.inputs import accept_inputs
from ashore_runtimes.tensors import SharedTensors

_ENGINE_NS = struct.Struct("<Q")


class HostSession:
    """Implements ``ashore.interfaces.Session``. Several threads may share one; their runs take turns.

    ``pid`` is the child's, for those who measure its memory; ``load_ns`` is what the engine took to load the file, its
    libraries being imported.
    """

    def __init__(self, artifact: Artifact, threads: int, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._child = Child(artifact.backend, threads)
        # Ends the child of a session that is forgotten, or still open when the program ends.
        self._finalizer = weakref.finalize(self, self._child.end)
        self.pid = self._child.process.pid
        try:
            self._load(artifact)
        except BaseException:
            self._child.end()
            raise
        self.last_run_ns = 0

    def _load(self, artifact: Artifact) -> None:
        self._child.greet()
        self._child.doing = f"loading {artifact.file.name} with {artifact.backend}"
        answer = self._child.ask(Kind.LOAD, os.fsencode(artifact.file.absolute()), Kind.LOADED, self._timeout_s)
        facts: dict[str, Any] = json.loads(answer)
        self.load_ns = int(facts["load_ns"])
        self._inputs = SharedTensors(self._child.inputs_fd, match_edge("inputs", facts["inputs"], artifact))
        self._outputs = SharedTensors(self._child.outputs_fd, match_edge("outputs", facts["outputs"], artifact))
        self.inputs, self.outputs = self._inputs.edge.specs, self._outputs.edge.specs
        self._child.doing = f"running {artifact.file.name} with {artifact.backend}"

    def run(self, inputs: Mapping[str, Array]) -> Sample:
        """One inference; the returned arrays belong to the caller. Raises as ``ashore.interfaces.Session.run`` says."""
        arrays = accept_inputs(self._inputs.edge.in_file, self._inputs.edge.dtypes, inputs)
        with self._lock:
            self._check_open()
            layout = self._inputs.write(arrays)
            answer = self._child.ask(Kind.RUN, layout, Kind.RAN, self._timeout_s)
            (self.last_run_ns,) = _ENGINE_NS.unpack_from(answer)
            return self._outputs.read(answer[_ENGINE_NS.size :])

    def _check_open(self) -> None:
        if self._child.over:
            raise ExecutionError(f"this session is over: {self._child.over}", "open a new session")

    def close(self) -> None:
        """End the child; after a run that another thread has under way. Closing twice does nothing."""
        with self._lock:
            self._finalizer()
            self._inputs.release()
            self._outputs.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
