"""From a SOURCE on the command line to a ModelSource.

``file.py:name`` or ``pkg.mod:name`` (a ModelSource, a module, ``(module, example_args)`` or a callable returning
one of them), ``file.pt2`` (torch.export), ``file.onnx``, ``hf:DIR`` (a local transformers folder).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ashore.errors import UsageError
from ashore.sources.arrays import load_arrays, load_samples
from ashore.types.source import ModelSource, Samples
from ashore.types.tensor import DynamicDim

_FORMS = "file.py:name, pkg.mod:name, file.pt2, file.onnx or hf:DIR"


def load_source(
    spec: str, *, inputs: Path | None = None, shapes: tuple[str, ...] = (), calibration: str | None = None
) -> ModelSource:
    """The model that ``spec`` names, with example inputs from ``inputs`` or ``shapes`` where they are given.

    ``calibration`` is the path of an ``.npz`` or of a folder of them, or ``random``.

    Raises:
        UsageError: nothing is there, it cannot be loaded, or it has no example inputs; the message says which.
    """
    examples, dynamic = _examples(inputs, shapes)
    if dynamic and spec.endswith(".onnx"):
        raise UsageError(
            f"{spec} was given a range of sizes for {', '.join(dynamic)}, and .onnx is imported at fixed sizes",
            "give one size for each axis, or convert the model from PyTorch: file.py:name",
        )
    source = _load(spec, examples)
    if examples is not None:
        from ashore.sources.example import name_examples

        source = replace(source, example_inputs={**name_examples(source), **examples})
    if dynamic:
        source = replace(source, dynamic_shapes={**source.dynamic_shapes, **dynamic})
    return source if calibration is None else replace(source, calibration=_calibration(calibration))


def _calibration(given: str) -> Samples | Literal["random"]:
    if given == "random":
        return "random"
    path = Path(given)
    if not path.exists():
        raise UsageError(
            f"there is no calibration data at {path}",
            "give an .npz with a leading axis of samples, a folder of one-sample .npz files, or the word random",
        )
    return load_samples(path)


def _load(spec: str, examples: Mapping[str, Any] | None) -> ModelSource:
    if spec.startswith("hf:"):
        from ashore.sources.huggingface import load_folder

        return load_folder(Path(spec.removeprefix("hf:")))
    if spec.endswith(".pt2"):
        from ashore.sources.exported import load_program

        return load_program(Path(spec), examples)
    if spec.endswith(".onnx"):
        from ashore.sources.onnx_file import load_onnx

        return load_onnx(Path(spec), examples)
    if spec.endswith((".pt", ".pth")):
        raise UsageError(
            f"{spec!r} holds weights without the model's code, so there is nothing to convert",
            "write a function that builds the model and calls load_state_dict(torch.load(path, weights_only=True)), "
            "and convert file.py:function",
        )
    if ":" not in spec:
        raise UsageError(f"source {spec!r} has none of the known forms", _near_form(spec))
    from ashore.sources.python import load_object

    return load_object(spec, examples)


def _near_form(spec: str) -> str:
    if spec and Path(spec).is_dir():
        return f"for a folder of transformers, give hf:{spec}"
    if spec.endswith(".py"):
        return f"name the model in the file, as in {spec}:model"
    if spec.endswith((".pte", ".tflite")):
        return f"it is converted already; ashore inspect {spec} shows what it is"
    return f"give {_FORMS}"


def _examples(
    inputs: Path | None, shapes: tuple[str, ...]
) -> tuple[dict[str, Any] | None, dict[str, dict[int, DynamicDim]]]:
    if inputs is not None and shapes:
        raise UsageError("--inputs and --shape were both given", "give the arrays or their shapes, not both")
    if inputs is not None:
        return dict(load_arrays(inputs)), {}
    if not shapes:
        return None, {}
    from ashore.sources.shapes import parse_shapes

    return parse_shapes(shapes)
