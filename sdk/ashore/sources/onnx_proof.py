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
        expected = _answer(session, {names[key]: array for key, array in sample.items()}, sample is example)
        if expected is None:
            return
        found = _eager(module, sample)
        for name, want, have in zip(found, expected, found.values(), strict=True):
            _compare(name, want, have, floor)


def _open(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
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


def _compare(name: str, want: Array, have: Array, floor: float) -> None:
    if want.shape != have.shape:
        _refuse(f"output {name!r} has shape {list(have.shape)} where onnxruntime gives {list(want.shape)}")
    if not np.array_equal(np.isfinite(want), np.isfinite(have)):
        _refuse(f"output {name!r} is infinite or NaN in other places than in onnxruntime")
    finite = np.isfinite(want)
    reached = sqnr_db(want[finite].astype(np.float64), have[finite].astype(np.float64))
    if reached < floor:
        _refuse(f"output {name!r} reaches an SQNR of {reached:.1f} dB against onnxruntime, and {floor:.0f} are asked")


def _refuse(finding: str) -> None:
    raise UnsupportedModel(
        f"the import of this ONNX file is not faithful: {finding}",
        "convert the model from PyTorch, file.py:name, and tell ashore's authors which operators it has",
    )
