"""LiteRT inside a child process: load a ``.tflite`` file, run it. Never imports torch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ashore_runtimes.engine import TensorFacts

SIGNATURE = "serving_default"
"""The signature ashore's converter writes; other files may have none, or another."""


class LiteRTEngine:
    """The first subgraph of the file, through the XNNPACK delegate."""

    def __init__(self, file: str, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=file, num_threads=threads)
        self._interpreter.allocate_tensors()
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._inputs = [int(detail["index"]) for detail in inputs]
        self._outputs = [int(detail["index"]) for detail in outputs]
        input_names, output_names = self._signature_names()
        self.inputs = [_facts(detail, input_names) for detail in inputs]
        self.outputs = [_facts(detail, output_names) for detail in outputs]
        self._shapes = [tuple(detail["shape"].tolist()) for detail in inputs]
        self._bound: list[NDArray[Any]] = []

    def _signature_names(self) -> tuple[dict[int, str], dict[int, str]]:
        """Tensor index -> name in the signature, where there is one of the first subgraph."""
        signatures = self._interpreter.get_signature_list()
        if not signatures:
            return {}, {}
        key = SIGNATURE if SIGNATURE in signatures else next(iter(signatures))
        runner = self._interpreter.get_signature_runner(key)
        inputs = {int(detail["index"]): name for name, detail in runner.get_input_details().items()}
        outputs = {int(detail["index"]): name for name, detail in runner.get_output_details().items()}
        whole = set(inputs) == set(self._inputs) and set(outputs) == set(self._outputs)
        return (inputs, outputs) if whole else ({}, {})

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

    def invoke(self) -> int:
        for index, array in zip(self._inputs, self._bound, strict=True):
            self._interpreter.set_tensor(index, array)
        begin_ns = time.perf_counter_ns()
        self._interpreter.invoke()
        return time.perf_counter_ns() - begin_ns

    def results(self) -> list[NDArray[Any]]:
        return [self._interpreter.tensor(index)() for index in self._outputs]


def _facts(detail: dict[str, Any], names: dict[int, str]) -> TensorFacts:
    signature = detail.get("shape_signature", detail["shape"]).tolist()
    scale, zero_point = detail["quantization"]
    return {
        "name": names.get(int(detail["index"]), detail["name"]),
        "shape": detail["shape"].tolist(),
        "dtype": np.dtype(detail["dtype"]).name,
        "dynamic": {str(axis): [1, 2**31 - 1] for axis, size in enumerate(signature) if size < 0},
        "quantization": [float(scale), int(zero_point)] if scale else None,
    }
