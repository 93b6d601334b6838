"""The libraries called directly in Python: ``bare_runtime.py BACKEND FILE INPUT`` loads, runs once, and says so."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Bare(NamedTuple):
    """``call`` is all that a caller does for one inference; ``invoke`` the library's own part, in nanoseconds."""

    call: Callable[[], object]
    invoke: Callable[[], int]


def executorch(path: Path, picture: NDArray[np.float32]) -> Bare:
    import executorch.kernels.quantized  # noqa: F401
    import torch
    from executorch.extension.pybindings import portable_lib

    portable_lib._unsafe_reset_threadpool(1)
    program = portable_lib._load_program(str(path))
    method = program.load_method("forward")
    tensor = torch.from_numpy(picture)

    def call() -> object:
        method.set_inputs([tensor])
        method.execute()
        return method.get_outputs()[0].numpy()

    def invoke() -> int:
        method.set_inputs([tensor])
        return _timed(method.execute)

    return Bare(call, invoke)


def litert(path: Path, picture: NDArray[np.float32]) -> Bare:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]
    if entry["dtype"] is np.int8:  # the stock recipe leaves the edge in int8: the picture is quantized beforehand
        scale, zero = entry["quantization"]
        picture = np.clip(np.rint(picture / scale) + zero, -128, 127).astype(np.int8)
    put, take = entry["index"], interpreter.get_output_details()[0]["index"]

    def call() -> object:
        interpreter.set_tensor(put, picture)
        interpreter.invoke()
        return interpreter.get_tensor(take)

    def invoke() -> int:
        interpreter.set_tensor(put, picture)
        return _timed(interpreter.invoke)

    return Bare(call, invoke)


def _timed(work: Callable[[], object]) -> int:
    begin_ns = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - begin_ns


BARE = {"executorch": executorch, "litert": litert}


if __name__ == "__main__":
    backend, file, data = sys.argv[1:]
    bare = BARE[backend](Path(file), np.fromfile(data, np.float32).reshape(1, 3, 224, 224))
    bare.call()
    print("ran once", flush=True)
    for line in sys.stdin:
        print(*(bare.invoke() for _ in range(int(line))), flush=True)
