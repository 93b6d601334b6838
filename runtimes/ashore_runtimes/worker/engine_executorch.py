"""ExecuTorch inside a child process: load a ``.pte`` file, run its ``forward``."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from ashore_runtimes.wire.facts import TensorFacts

METHOD = "forward"
_DTYPES = {
    0: "uint8",
    1: "int8",
    2: "int16",
    3: "int32",
    4: "int64",
    5: "float16",
    6: "float32",
    7: "float64",
    11: "bool",
}
"""ExecuTorch's ScalarType codes that numpy has a word for."""


class ExecuTorchEngine:
    """One method of a program that stays mapped from its file for as long as it runs."""

    def __init__(self, threads: int) -> None:
        self._pybindings = import_pybindings()
        self.version = importlib.metadata.version("executorch")
        # A method takes the pool as it is when it loads: a reset later would not reach it.
        self._pybindings._unsafe_reset_threadpool(threads)
        self._tensors: list[Any] = []

    def load(self, file: str) -> None:
        check = self._pybindings.Verification.InternalConsistency
        self._program = self._pybindings._load_program(file, program_verification=check)
        names = [self._program.get_method_name(index) for index in range(self._program.num_methods())]
        name = METHOD if METHOD in names else names[0]
        self._method = self._program.load_method(name)
        meta = self._program.method_meta(name)
        self.inputs = [_facts("input", i, meta.input_tensor_meta) for i in range(meta.num_inputs())]
        self.outputs = [_facts("output", i, meta.output_tensor_meta) for i in range(meta.num_outputs())]
        self._mark_dynamic_inputs()

    def _mark_dynamic_inputs(self) -> None:
        """A file says of a dynamic input only its largest shape, so ask whether it takes a smaller one."""
        import torch

        largest = [torch.zeros(facts["shape"], dtype=getattr(torch, facts["dtype"])) for facts in self.inputs]
        for index, facts in enumerate(self.inputs):
            if any(size > 1 for size in facts["shape"]) and self._takes_smaller(index, largest):
                facts["dynamic"] = {str(axis): [1, size] for axis, size in enumerate(facts["shape"])}

    def _takes_smaller(self, index: int, largest: list[Any]) -> bool:
        tensor = largest[index]
        smaller = tensor.narrow(max(range(tensor.dim()), key=tensor.size), 0, 1).contiguous()
        try:
            self._method.set_inputs([*largest[:index], smaller, *largest[index + 1 :]])
        except RuntimeError:
            return False
        return True

    def bind(self, inputs: Sequence[NDArray[Any]]) -> None:
        import torch

        self._tensors = [torch.from_numpy(array) for array in inputs]

    def feed(self) -> None:
        self._method.set_inputs(self._tensors)

    def invoke(self) -> int:
        begin_ns = time.perf_counter_ns()
        self._method.execute()
        return time.perf_counter_ns() - begin_ns

    def results(self) -> list[NDArray[Any]]:
        return [tensor.numpy() for tensor in self._method.get_outputs(clone_outputs=False)]


def import_pybindings() -> Any:
    """ExecuTorch's extension module, with the kernels of quantized operators registered.

    The public door to it, ``portable_lib``, imports the whole exporter, which takes four times as long as torch itself.
    The extension needs no more than torch's libraries in memory.
    """
    import executorch.kernels.quantized  # noqa: F401  registers its kernels when imported
    import torch  # noqa: F401  the extension links against its libraries
    from executorch.extension.pybindings import _C

    return _C


def _facts(side: str, index: int, meta: Any) -> TensorFacts:
    try:
        info = meta(index)
    except RuntimeError as error:
        raise ValueError(f"{side} {index} of the method is not a tensor") from error
    if info.dtype() not in _DTYPES:
        raise ValueError(f"{side} {index} has ScalarType {info.dtype()}, which numpy has no word for")
    return {
        "name": f"{side}_{index}",
        "shape": list(info.sizes()),
        "dtype": _DTYPES[info.dtype()],
        "dynamic": {},
        "quantization": None,
    }
