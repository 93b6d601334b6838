"""LiteRT (TFLite): PyTorch in, ``.tflite`` out.

Names. The file has one signature, ``serving_default``. Its inputs and outputs bear the names of the request's
TensorSpecs, and the manifest lists the same names, so a runtime maps by name and never by position: signature lists
come back sorted by name, not in the order of the call.

Element types. LiteRT computes indices in 32 bits: a PyTorch int64 input or output is int32 in the file, and the
TensorSpecs of the Conversion say so. Callers cast, and check the range when they do.

Layout. Inputs and outputs keep PyTorch's shape (NCHW for pictures); inside, the file computes in NHWC and transposes
once at its edge. On MobileNetV2 that costs less than 2 % of the latency. A model that takes NHWC and permutes by itself
gets a file without that transpose.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ashore.errors import LoweringFailed, TargetUnavailable
from ashore.interfaces import Progress, Trial
from ashore.types.conversion import (
    Conversion,
    ConversionRequest,
    Delegation,
    FileContents,
    LayerKind,
    PlacedLayer,
    UndelegatedOp,
)
from ashore.types.precision import Precision
from ashore.types.tensor import TensorSpec
from ashore_converters.bake import bake
from ashore_converters.litert.checks import cautions, loops
from ashore_converters.litert.file import FileGraph, read_file
from ashore_converters.litert.quiet import quiet
from ashore_converters.litert.static import StaticFile
from ashore_converters.litert.trial import try_file

if TYPE_CHECKING:
    import torch

    from ashore_converters.litert.quantize import FloatFile

DELEGATE = "xnnpack"

FOLDS_NORMS = True
"""The lowering multiplies a layer norm's weight into the matrices behind it."""

_DISTRIBUTIONS = {
    "litert_torch": "litert-torch",
    "ai_edge_litert": "ai-edge-litert",
    "litert_quantizer": "litert-quantizer",
    "torch": "torch",
}


class LiteRTConverter:
    """See :class:`ashore.interfaces.Converter`."""

    backend = "litert"
    suffix = ".tflite"

    def __init__(self) -> None:
        self._lowered: WeakKeyDictionary[torch.nn.Module, _Lowered] = WeakKeyDictionary()

    def check(self, request: ConversionRequest) -> tuple[str, ...]:
        _versions()
        return cautions(request)

    def convert(self, request: ConversionRequest, destination: Path, progress: Progress) -> Conversion:
        self.check(request)
        from ashore_converters.repairs.choose import with_repairs

        make = partial(self._made, progress=progress)
        made = with_repairs(request, progress, make, folds_norms=FOLDS_NORMS)
        destination.write_bytes(made.content)
        progress("trying the file")
        delegation = _tried(destination, request)
        inputs, outputs = _edges(read_file(destination), request)
        return Conversion(
            inputs,
            outputs,
            DELEGATE,
            delegation,
            _versions(),
            made.recipe,
            made.warnings,
            made.layers,
        )

    def _made(self, request: ConversionRequest, progress: Progress) -> _Made:
        from ashore_converters.litert.quantize import open_float_file

        file = open_float_file(self._float_file(request, progress), request.model)
        quantized = _quantized(file, request, progress)
        return _Made(quantized.content, quantized.recipe, quantized.warnings, layers=_placed_layers(file))

    def trial(self, request: ConversionRequest, progress: Progress) -> Trial:
        """See :class:`ashore.interfaces.OffersTrials`."""
        self.check(request)
        from ashore_converters.litert.layer_trial import LiteRTTrial
        from ashore_converters.repairs.choose import repair

        request = repair(request, progress, folds_norms=FOLDS_NORMS).request
        return LiteRTTrial(self._float_file(request, progress), request, progress)

    def _float_file(self, request: ConversionRequest, progress: Progress) -> bytes:
        """Lowering is most of the work, and the same for every precision of a model."""
        state = _state(request)
        kept = self._lowered.get(request.model)
        if kept is None or kept.state != state:
            kept = self._lowered[request.model] = _Lowered(state, _lower(request, progress))
        return kept.content

    def inspect(self, path: Path) -> FileContents:
        graph = read_file(path)
        delegation = try_file(path, infer=False).delegation or _nothing_delegated(graph)
        return FileContents(
            graph.input_specs(), graph.output_specs(), graph.op_counts(), delegation, graph.bytes_by_part
        )


def _nothing_delegated(graph: FileGraph) -> Delegation:
    """Of a file that the interpreter here does not load."""
    return Delegation(0, len(graph.ops), 0, tuple(UndelegatedOp(op, n) for op, n in graph.main_op_counts().items()))


_KINDS = {
    "CONV_2D": LayerKind.DENSE,
    "FULLY_CONNECTED": LayerKind.DENSE,
    "DEPTHWISE_CONV_2D": LayerKind.DEPTHWISE,
    "TRANSPOSE_CONV": LayerKind.TRANSPOSED,
}


@dataclass(frozen=True)
class _Made(StaticFile):
    layers: tuple[PlacedLayer, ...] = ()


@dataclass(frozen=True)
class _Lowered:
    state: object
    content: bytes


def _state(request: ConversionRequest) -> object:
    """Differs when the model was changed in between, as far as torch counts changes of its tensors."""
    tensors = (*request.model.parameters(), *request.model.buffers())
    return request.inputs, request.outputs, [(id(t), 0 if t.is_inference() else t._version) for t in tensors]


def _lower(request: ConversionRequest, progress: Progress) -> bytes:
    from ashore_converters.litert.dynamic import at_other_size, join
    from ashore_converters.litert.edit import with_flat_biases
    from ashore_converters.litert.graph import export, lower
    from ashore_converters.recurrent import loop_recurrent

    with quiet():  # copying torch's own tree specs makes torch warn of itself
        request = replace(request, model=bake(request.model))
    if loops(request):
        loop_recurrent(request.model, lambda step: step)
    progress("exporting the graph")
    program = export(request)
    progress("lowering to LiteRT")
    model = lower(program, request)
    if any(spec.dynamic for spec in request.inputs):
        progress("lowering at another size")
        resized = at_other_size(request)
        model = join(model, lower(export(resized), resized), request, resized)
    return with_flat_biases(model)


def _quantized(file: FloatFile, request: ConversionRequest, progress: Progress) -> StaticFile:
    from ashore_converters.litert.edit import with_float_edges
    from ashore_converters.litert.four_bits import round_4bit, with_held
    from ashore_converters.litert.left_float import with_left_float_told
    from ashore_converters.litert.pt2e import Pt2e, quantization_of
    from ashore_converters.litert.quantize import quantize_layers
    from ashore_converters.rounding import with_carried_out

    recipe, quantization = request.recipe, quantization_of(request.model)
    if quantization is Pt2e.STATIC:
        return StaticFile(file.content if recipe.int8_io else with_float_edges(file.content), recipe)
    if quantization is Pt2e.DYNAMIC:
        return StaticFile(quantize_layers(file), recipe)
    file.layers.check(recipe.layers)
    file, four_bits = round_4bit(file, request, progress)
    made = with_left_float_told(file, _quantized_to(file, request, progress))
    roundings = [rounding for rounding in (four_bits, made.rounding) if rounding is not None]
    by_gptq = any(rounding.rounded for rounding in roundings)
    told = [words for rounding in roundings for words in rounding.told]
    content = with_held(made.content, file, four_bits)
    carried_out = with_carried_out(made.recipe, by_gptq=by_gptq)
    return replace(made, content=content, recipe=carried_out, warnings=(*told, *made.warnings))


def _quantized_to(file: FloatFile, request: ConversionRequest, progress: Progress) -> StaticFile:
    from ashore_converters.litert.eight_bits import quantize_rounded
    from ashore_converters.litert.static import quantize_static

    recipe = request.recipe
    if recipe.precision is Precision.INT8:
        return quantize_static(file.content, request, progress)
    if recipe.precision is Precision.FP32 and not recipe.layers:
        return StaticFile(file.content, recipe)
    progress("quantizing")
    content, rounding = quantize_rounded(file, request, progress)
    return StaticFile(content, recipe, rounding=rounding)


def _placed_layers(file: FloatFile) -> tuple[PlacedLayer, ...]:
    """Of the float file, whose operators and order every quantized one keeps."""
    kinds = [(op, _KINDS[op.name]) for op in file.graph.ops if op.name in _KINDS]
    return tuple(PlacedLayer(file.layers.own(op), kind) for op, kind in kinds)


def _tried(path: Path, request: ConversionRequest) -> Delegation:
    trial = try_file(path)
    if trial.delegation is None:
        path.unlink()
        raise LoweringFailed(
            f"the finished {request.recipe.precision} file does not run: {trial.problem}",
            "keep the layer of the operator named above in float with a layer rule, or choose another precision",
        )
    return trial.delegation


def _edges(graph: FileGraph, request: ConversionRequest) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The request's specs with the element types and quantization that the file has."""
    inputs = {spec.name: spec for spec in graph.input_specs()}
    outputs = {spec.name: spec for spec in graph.output_specs()}
    return (
        tuple(_as_filed(spec, inputs[spec.name]) for spec in request.inputs),
        tuple(_as_filed(spec, outputs[spec.name]) for spec in request.outputs),
    )


def _as_filed(asked: TensorSpec, filed: TensorSpec) -> TensorSpec:
    return replace(asked, dtype=filed.dtype, quantization=filed.quantization)


def _versions() -> dict[str, str]:
    try:
        return {name: version(distribution) for name, distribution in _DISTRIBUTIONS.items()}
    except PackageNotFoundError as error:
        raise TargetUnavailable(
            f"converting to LiteRT needs {error.name}, which is not installed", 'pip install "ashore[litert]"'
        ) from error
