"""An imported module against the ONNX file itself, as onnxruntime runs it without any optimization."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ashore.errors import UnsupportedModel, UsageError
from ashore.sources.foreign import first_line
from ashore.types.parity import sqnr_db
from ashore.types.tensor import Array, Sample

if TYPE_CHECKING:
    import torch

_FLOOR_DB = 60.0
"""float32 summed in another order left 111 dB and more in all models tried, MobileNetV2 among them."""
_HALF_FLOOR_DB = 40.0
"""Of a file that rounds to float16 behind every operator, against float32. Small nets left 64 to 76 dB."""
_MARGIN_DB = 6.0
"""Below what onnxruntime keeps against itself, where that is less than the floor. A text detector of PaddleOCR on noise
reached 33.2 dB, onnxruntime 33.4, and every layer before its last sigmoid 116 and more."""
_QUANTIZED_FLOOR_DB = 20.0
"""A value on the border of two steps is rounded by the last bit of its sum, and its output moves by a whole step.
Small nets come out equal to the last bit; MobileNetV2 of random weights reached 25 dB on one sample and equality on
the other. This finds wrong operators and grids that are far off, not a zero point that is off by one in a small net,
which leaves 40 dB: that grids are copied exactly is for the tests to see.
"""


def proof_floor_db(*, quantized: bool, half: bool) -> float:
    """What an import must reach against its file."""
    return _QUANTIZED_FLOOR_DB if quantized else _HALF_FLOOR_DB if half else _FLOOR_DB


def prove(path: Path, module: torch.nn.Module, names: Mapping[str, str], example: Sample, floor: float) -> None:
    """Raises UnsupportedModel where ``module`` computes something else than the file in ``path``.

    ``names`` are the file's own names of the inputs. A second sample finds what was taken from the first as constant.
    """
    session = _open(path)
    for sample in (example, _another(example)):
        given = {names[key]: array for key, array in sample.items()}
        expected = _answer(session, given, sample is example)
        if expected is None:
            return
        found = _eager(module, sample)
        for place, (name, want, have) in enumerate(zip(found, expected, found.values(), strict=True)):
            _compare_shapes(name, want, have)
            reached = _reached_db(want, have)
            if reached < floor and reached < _own_db(path, given, place, want, floor) - _MARGIN_DB:
                _refuse(
                    f"output {name!r} reaches an SQNR of {reached:.1f} dB against onnxruntime, {floor:.0f} are asked"
                )


def _own_db(path: Path, given: dict[str, Array], place: int, want: Array, floor: float) -> float:
    """What onnxruntime keeps of an output when it optimizes the graph: little of a sigmoid that is 0 to six digits.

    Of quantized models that says nothing, as it then computes in other grids.
    """
    answers = None if floor <= _QUANTIZED_FLOOR_DB else _answer(_open(path, optimized=True), given, False)
    return 200.0 if answers is None else _reached_db(want, answers[place])


def _open(path: Path, *, optimized: bool = False) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimized else level.ORT_DISABLE_ALL
    options.log_severity_level = 4  # fatal: what fails is told by its error
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no class but this
        raise UnsupportedModel(
            f"onnxruntime, which the import is held against, does not open {path}: {first_line(error)}",
            "export the model again, in float32, with torch.onnx.export(…, opset_version=18)",
        ) from error


def _answer(session: Any, inputs: dict[str, Array], must: bool) -> list[Array] | None:
    try:
        return list(session.run(None, _in_its_own_types(session, inputs)))
    except Exception as error:  # its errors share no class but this
        if not must:  # integers of a kind that the model does not take
            return None
        raise UsageError(
            f"onnxruntime fails to run the model on the example inputs: {first_line(error)}",
            "give others with --inputs or --shape",
        ) from error


def _in_its_own_types(session: Any, inputs: dict[str, Array]) -> dict[str, Array]:
    halves = {each.name for each in session.get_inputs() if each.type == "tensor(float16)"}
    return {name: array.astype(np.float16) if name in halves else array for name, array in inputs.items()}


def _another(example: Sample) -> Sample:
    """Other noise; for integers zeros and ones in turns, which indices and masks can be."""
    random = np.random.default_rng(7)
    return {name: _like(array, random) for name, array in example.items()}


def _like(array: Array, random: np.random.Generator) -> Array:
    if np.issubdtype(array.dtype, np.floating):
        values = array.astype(np.float64)
        noise = random.standard_normal(array.shape) * (float(values.std()) or 1.0) + float(values.mean())
        return np.asarray(noise, array.dtype)
    return (np.arange(array.size) % 2).reshape(array.shape).astype(array.dtype)


def _eager(module: torch.nn.Module, sample: Sample) -> dict[str, Array]:
    import torch

    with torch.no_grad():
        found = module(*(torch.from_numpy(np.array(array)) for array in sample.values()))
    return {name: value.numpy() for name, value in found.items()}


def _compare_shapes(name: str, want: Array, have: Array) -> None:
    if want.shape != have.shape:
        _refuse(f"output {name!r} has shape {list(have.shape)} where onnxruntime gives {list(want.shape)}")
    if not np.array_equal(np.isfinite(want), np.isfinite(have)):
        _refuse(f"output {name!r} is infinite or NaN in other places than in onnxruntime")


def _reached_db(want: Array, have: Array) -> float:
    finite = np.isfinite(want)
    return sqnr_db(want[finite].astype(np.float64), have[finite].astype(np.float64))


def _refuse(finding: str) -> None:
    raise UnsupportedModel(
        f"the import of this ONNX file is not faithful: {finding}",
        "convert the model from PyTorch, file.py:name, and tell ashore's authors which operators it has",
    )
