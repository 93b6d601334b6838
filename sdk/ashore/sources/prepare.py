"""From a ModelSource to what a converter needs: a flat model, its tensors described, its samples checked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ashore.errors import AshoreError, ExportFailed, UnsupportedModel, UsageError
from ashore.sources.copying import copy_module
from ashore.sources.eager import Answers
from ashore.sources.example import check_descriptions, example_call
from ashore.sources.exported import check_program
from ashore.sources.layers import check_layer_rules
from ashore.sources.merging import merge_adapters
from ashore.sources.provenance import describe_source
from ashore.sources.quantized import is_quantized_program
from ashore.sources.readiness import check_devices, check_kinds, half_format
from ashore.sources.samples import each_sample, read_samples, similar_samples, to_array
from ashore.sources.sparsity import NOTABLE, zero_share
from ashore.sources.spool import Spool
from ashore.types.conversion import ConversionRequest
from ashore.types.manifest import SourceRecord
from ashore.types.recipe import RangeEstimator, Recipe
from ashore.types.source import ModelSource
from ashore.types.tensor import DynamicDim, Sample, TensorSpec

if TYPE_CHECKING:
    import torch

    from ashore.sources.flat import FlatModel

_GENERATED_SAMPLES = 8
_RANDOM_CALIBRATION = 32
_REPAIRS_NEED = 2
"""Calibration samples: one to learn from, one to judge by."""
_DTYPES = ("float32", "float16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")


@dataclass(frozen=True)
class PreparedSource:
    """A source whose model has run once on its example, and so is known to work in PyTorch."""

    source: ModelSource
    model: FlatModel
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    example: Sample

    def request(self, recipe: Recipe) -> ConversionRequest:
        """What a converter is asked to do.

        Raises:
            UsageError: the recipe needs calibration samples, and there are none, too few, or they are wrong; one of its
                rules names no layer; or it estimates ranges for a model that comes with its own.
        """
        if self.record.kind == "module":  # a program may have forgotten its layers
            check_layer_rules(recipe, self.model.model)
        own_ranges = is_quantized_program(self.model)
        if own_ranges and recipe.ranges is not RangeEstimator.MEAN:
            raise UsageError(
                f"{self.source.name!r} comes with int8 ranges of its own, so that ranges = {recipe.ranges.value!r} has "
                "nothing to estimate",
                "leave the ranges out, or give the float model",
            )
        calibration = () if own_ranges else self._observed(recipe)
        return ConversionRequest(self.model, self.inputs, self.outputs, self.example, calibration, recipe)

    def _observed(self, recipe: Recipe) -> tuple[Sample, ...]:
        given = self.source.calibration is not None
        wanted = recipe.precision.needs_calibration or (recipe.gains_by_calibration and given)
        if recipe.repairs_something:
            return self._observed_and_held_back(recipe)
        return self.calibration(recipe) if wanted else ()

    def _observed_and_held_back(self, recipe: Recipe) -> tuple[Sample, ...]:
        """What repairs are learned from and judged by."""
        found = () if self.source.calibration is None else self.calibration(recipe)
        if len(found) < _REPAIRS_NEED:
            raise UsageError(
                f"to repair by {', '.join(recipe.repairs)} needs {_REPAIRS_NEED} calibration samples or more, and "
                f"{self.source.name!r} has {len(found) or 'none'}",
                "give --calibration PATH (an .npz or a folder of them), calibration=… in the ModelSource, "
                "or leave the repairs out: --repair none",
            )
        return found

    def calibration(self, recipe: Recipe) -> tuple[Sample, ...]:
        if self.source.calibration is None:
            raise UsageError(
                f"{recipe.precision} needs calibration samples and {self.source.name!r} has none",
                "give --calibration PATH (an .npz or a folder of them), calibration=… in the ModelSource, "
                "--calibration random to draw noise, or --precision int8-dynamic, which needs none",
            )
        return self._calibration_pool[: recipe.calibration_samples]

    @cached_property
    def _calibration_pool(self) -> tuple[Sample, ...]:
        """All calibration samples but those held back for evaluation."""
        pool = self._given_calibration
        separate = self.source.evaluation is not None or self.source.calibration == "random" or len(pool) < 2
        return pool if separate else pool[: -_held_back(len(pool))]

    @cached_property
    def _given_calibration(self) -> tuple[Sample, ...]:
        if self.source.calibration == "random":
            return similar_samples(self.example, _RANDOM_CALIBRATION, seed=1)
        assert self.source.calibration is not None
        return read_samples(self.source.calibration, self.inputs, purpose="calibration")

    @cached_property
    def evaluation(self) -> Spool | tuple[Sample, ...]:
        """Samples to judge files on: the source's own, else held back from calibration, else like the example."""
        if self.source.evaluation is not None:
            return Spool(each_sample(self.source.evaluation, self.inputs, purpose="evaluation"))
        if self.source.calibration in (None, "random"):
            return self._generated()
        return self._given_calibration[-_held_back(len(self._given_calibration)) :]

    def _generated(self) -> tuple[Sample, ...]:
        """The example, noise like it, and where dimensions are dynamic, noise of other sizes."""
        samples = [self.example, *similar_samples(self.example, _GENERATED_SAMPLES - 1)]
        for dim in _dims(self.inputs):
            tensors = zip(self.model.example, self.inputs, strict=True)
            resized = {spec.name: to_array(_resized(tensor, spec, dim)) for tensor, spec in tensors}
            samples += similar_samples(resized, 2, seed=2)
        return tuple(samples)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What the reader of the manifest must know of the samples behind its figures, and of its weights."""
        return (*self.source.notes, *self._sample_warnings(), *self._format_warnings(), *self._weight_warnings())

    def _format_warnings(self) -> tuple[str, ...]:
        word = half_format(self.source.model)
        return (f"the model came in {word}: its weights are read as float32, in which it is judged",) if word else ()

    def _weight_warnings(self) -> tuple[str, ...]:
        share = zero_share(self.model)
        if share < NOTABLE:
            return ()
        return (
            f"{share:.0%} of the weights are zero: the file compresses better for download, but XNNPACK computes a "
            "zero as slowly as any other number; remove whole channels or heads to gain speed",
        )

    def _sample_warnings(self) -> tuple[str, ...]:
        found = []
        if self.source.evaluation is None and self.source.calibration in (None, "random"):
            found.append("judged on random inputs like the example: the source has no evaluation samples")
        elif self.source.evaluation is None and len(self._given_calibration) < 2:
            found.append("judged on the one calibration sample itself")
        return tuple(found)

    @property
    def reference(self) -> tuple[Sample, ...]:
        """Eager PyTorch's outputs on ``evaluation``.

        Raises:
            UsageError: the model fails on a sample, or gives NaN, with which nothing can be compared.
        """
        return self._reference.all()

    def reference_ahead(self) -> AbstractContextManager[None]:
        """Inside, ``reference`` is worked out by another process until it is asked for, where that saves time.

        Raises:
            UsageError: as ``reference`` does, on the first sample at least.
        """
        return self._reference.ahead()

    def check_reference(self) -> None:
        """Raises as ``reference``, if the process that works ahead has met a sample that the model does not take."""
        self._reference.collect()

    @cached_property
    def _reference(self) -> Answers:
        return Answers(self.model, self.outputs, self.evaluation, "evaluation")

    def answers(self, samples: Spool | Sequence[Sample]) -> tuple[Sample, ...]:
        """Eager PyTorch's outputs on calibration samples. Raises as ``reference``."""
        return Answers(self.model, self.outputs, samples, "calibration").all()

    @cached_property
    def record(self) -> SourceRecord:
        return describe_source(self.source, self.model)


def prepare(source: ModelSource) -> PreparedSource:
    """Run the model once on its example inputs and describe what goes in and comes out.

    Raises:
        UsageError: the example inputs do not fit the model.
        UnsupportedModel: it returns something that is not made of tensors.
    """
    import torch

    from ashore.sources.flat import FlatModel

    model = _eval_copy(source)
    args, kwargs = example_call(source, model)
    flat = FlatModel(model, args, kwargs).eval()
    check_descriptions(source, dict(zip(flat.input_names, flat.example, strict=True)))
    inputs = tuple(_spec(n, t, source) for n, t in zip(flat.input_names, flat.example, strict=True))
    if isinstance(source.model, torch.export.ExportedProgram):
        check_program(source.model, inputs)
    with torch.no_grad():
        outputs = _describe_outputs(flat, inputs)
    example = {spec.name: to_array(tensor) for spec, tensor in zip(inputs, flat.example, strict=True)}
    return PreparedSource(source, flat, inputs, outputs, example)


def _held_back(count: int) -> int:
    return max(1, count // 4)


def _eval_copy(source: ModelSource) -> torch.nn.Module:
    import torch

    if isinstance(source.model, torch.export.ExportedProgram):
        return _runnable(source.model)
    if not isinstance(source.model, torch.nn.Module):
        raise UsageError(
            f"source {source.name!r} holds a {type(source.model).__name__}, not a model",
            "give a torch.nn.Module or a torch.export.ExportedProgram",
        )
    check_kinds(source.model)
    check_devices(source.model)
    module = copy_module(source.model).cpu()
    # Merged in float32: a sum of halves would be rounded to halves.
    return merge_adapters((module.float() if half_format(source.model) else module).eval(), source)


def _runnable(program: torch.export.ExportedProgram) -> torch.nn.Module:
    module = program.module(check_guards=False)
    # Its modes were fixed at export, so torch makes both of these raise; converters set eval mode on whole models.
    for name in ("train", "eval"):
        vars(module).pop(name, None)
    return module.eval()


def _spec(name: str, tensor: torch.Tensor, source: ModelSource) -> TensorSpec:
    dynamic = dict(source.dynamic_shapes.get(name, {}))
    return TensorSpec(name, tuple(tensor.shape), _dtype(tensor, f"input {name!r}"), source.layouts.get(name), dynamic)


def _dtype(tensor: torch.Tensor, what: str) -> str:
    word = str(tensor.dtype).removeprefix("torch.")
    if word not in _DTYPES:
        raise UnsupportedModel(
            f"{what} is {word}, which no backend takes or gives",
            f"known: {', '.join(_DTYPES)}; a bfloat16 model becomes float32 with model.float()",
        )
    return word


def _describe_outputs(flat: FlatModel, inputs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    from ashore.sources.flat import named_tensors

    copies = tuple(tensor.clone() for tensor in flat.example)
    try:
        named = list(named_tensors(flat.call(copies)))
    except AshoreError:
        raise
    except Exception as error:
        given = ", ".join(f"{i.name} {i.dtype}{list(i.shape)}" for i in inputs)
        raise UsageError(
            f"the model fails in PyTorch on its example inputs ({given}): {type(error).__name__}: {error}",
            "call the model on these inputs by itself first, or give others with --inputs or --shape",
        ) from error
    flat.changed = frozenset(spec.name for spec, copy in zip(inputs, copies, strict=True) if copy._version)
    if not named:
        raise UnsupportedModel("the model returns no tensor", "return at least one tensor from forward")
    dynamic = _dynamic_outputs(flat, inputs, [tuple(tensor.shape) for _, tensor in named])
    names = _unique([name for name, _ in named])
    return tuple(
        TensorSpec(name, tuple(t.shape), _dtype(t, f"output {name!r}"), None, axes)
        for name, (_, t), axes in zip(names, named, dynamic, strict=True)
    )


def _unique(names: list[str]) -> list[str]:
    return [name if names.count(name) == 1 else f"{name}_{index}" for index, name in enumerate(names)]


def _dynamic_outputs(
    flat: FlatModel, inputs: tuple[TensorSpec, ...], shapes: list[tuple[int, ...]]
) -> list[dict[int, DynamicDim]]:
    """Which output axes follow which dynamic input dimension: found by running once at each dimension's minimum."""
    found: list[dict[int, DynamicDim]] = [{} for _ in shapes]
    for dim in _dims(inputs):
        resized = tuple(_resized(t, spec, dim) for t, spec in zip(flat.example, inputs, strict=True))
        try:
            results = flat(*resized)
        except Exception as error:
            raise ExportFailed(
                f"the model fails in PyTorch when dimension {dim.name!r} is {_other_size(dim, inputs)}: {error}",
                f"narrow the range {dim.minimum}..{dim.maximum}, or keep the dimension fixed",
            ) from error
        for axes, shape, result in zip(found, shapes, results, strict=True):
            axes.update({axis: dim for axis, size in enumerate(result.shape) if size != shape[axis]})
    return found


def _dims(inputs: tuple[TensorSpec, ...]) -> list[DynamicDim]:
    return list({dim.name: dim for spec in inputs for dim in spec.dynamic.values()}.values())


def _other_size(dim: DynamicDim, inputs: tuple[TensorSpec, ...]) -> int:
    sizes = {spec.shape[axis] for spec in inputs for axis, d in spec.dynamic.items() if d.name == dim.name}
    return dim.minimum if dim.minimum not in sizes else dim.maximum


def _resized(tensor: torch.Tensor, spec: TensorSpec, dim: DynamicDim) -> torch.Tensor:
    size = _other_size(dim, (spec,))
    for axis, own in spec.dynamic.items():
        if own.name == dim.name:
            repeats = [1] * tensor.dim()
            repeats[axis] = -(-size // tensor.shape[axis])
            tensor = tensor.repeat(*repeats).narrow(axis, 0, size)
    return tensor.contiguous()
