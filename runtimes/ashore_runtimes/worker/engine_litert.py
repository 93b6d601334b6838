"""LiteRT inside a child process: load a ``.tflite`` file, run it. Never imports torch."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ashore_runtimes.wire.facts import TensorFacts

_Detail = dict[str, Any]
_Details = dict[str, _Detail]

SIGNATURE = "serving_default"
"""The signature ashore's converter writes; other files may have none, or another."""


class LiteRTEngine:
    """The first subgraph of the file, through the XNNPACK delegate."""

    def __init__(self, threads: int) -> None:
        import ai_edge_litert
        from ai_edge_litert.interpreter import Interpreter

        self._make_interpreter = Interpreter
        self.version: str = ai_edge_litert.__version__  # to ask importlib.metadata takes 4 MB
        self._threads = threads
        self._bound: list[NDArray[Any]] = []

    def load(self, file: str) -> None:
        self._interpreter = self._make_interpreter(model_path=file, num_threads=self._threads)
        self._interpreter.allocate_tensors()
        inputs, outputs = self._edges()
        self._inputs = [int(detail["index"]) for detail in inputs.values()]
        self._views = [self._interpreter.tensor(int(detail["index"])) for detail in outputs.values()]
        self.inputs = [_facts(name, detail) for name, detail in inputs.items()]
        self.outputs = [_facts(name, detail) for name, detail in outputs.items()]
        self._shapes = [tuple(facts["shape"]) for facts in self.inputs]

    def _edges(self) -> tuple[_Details, _Details]:
        """Details of inputs and outputs by name: the signature's names, or those of the tensors where it has none."""
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        signatures = self._interpreter.get_signature_list()
        if signatures:
            key = SIGNATURE if SIGNATURE in signatures else next(iter(signatures))
            runner = self._interpreter.get_signature_runner(key)
            named = runner.get_input_details(), runner.get_output_details()
            # A signature may also belong to another subgraph.
            if _indices(named[0]) == _indices(inputs) and _indices(named[1]) == _indices(outputs):
                return _ordered(named[0], inputs), _ordered(named[1], outputs)
        return _by_name(inputs), _by_name(outputs)

    def bind(self, inputs: Sequence[NDArray[Any]]) -> None:
        shapes = [array.shape for array in inputs]
        if shapes != self._shapes:
            self._resize(shapes)
        self._bound = list(inputs)

    def _resize(self, shapes: list[tuple[int, ...]]) -> None:
        self._shapes = []  # a resize that fails half-way is done again by the next run, whatever its shapes
        for index, shape in zip(self._inputs, shapes, strict=True):
            self._interpreter.resize_tensor_input(index, shape, strict=True)
        self._interpreter.allocate_tensors()
        self._shapes = shapes

    def feed(self) -> None:
        for index, array in zip(self._inputs, self._bound, strict=True):
            self._interpreter.set_tensor(index, array)

    def invoke(self) -> int:
        begin_ns = time.perf_counter_ns()
        self._interpreter.invoke()
        return time.perf_counter_ns() - begin_ns

    def results(self) -> list[NDArray[Any]]:
        return [view() for view in self._views]


def _indices(details: Iterable[_Detail] | _Details) -> set[int]:
    return {int(detail["index"]) for detail in (details.values() if isinstance(details, dict) else details)}


def _by_name(details: list[_Detail]) -> _Details:
    return {detail["name"]: detail for detail in details}


def _ordered(named: _Details, details: list[_Detail]) -> _Details:
    """Signatures come sorted as text; here, as the file lists the tensors, of which one may be two outputs."""
    places = {int(detail["index"]): place for place, detail in reversed(list(enumerate(details)))}
    order = sorted(named, key=lambda name: (places[int(named[name]["index"])], len(name), name))
    return {name: named[name] for name in order}


def _facts(name: str, detail: _Detail) -> TensorFacts:
    dtype = np.dtype(detail["dtype"])
    if dtype.kind not in "biufc":
        raise ValueError(f"{name!r} holds {dtype.name}; ashore runs models of numbers")
    signature: list[int] = detail["shape_signature"].tolist()
    scale, zero_point = detail["quantization"]
    return {
        "name": name,
        "shape": detail["shape"].tolist(),
        "dtype": dtype.name,
        "dynamic": {str(axis): [1, 2**31 - 1] for axis, size in enumerate(signature) if size < 0},
        "quantization": [float(scale), int(zero_point)] if scale else None,
    }
