"""Samples as users give them, made uniform: one dict of numpy arrays a sample, checked against the model's inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ashore.errors import UsageError
from ashore.types.source import Samples
from ashore.types.tensor import Array, Sample, TensorSpec


def read_samples(samples: Samples, inputs: Sequence[TensorSpec], *, purpose: str) -> tuple[Sample, ...]:
    """All samples, each checked.

    Raises:
        UsageError: there is none, or one has another name, shape or dtype than the model's input, or NaN in it.
    """
    return tuple(each_sample(samples, inputs, purpose=purpose))


def each_sample(samples: Samples, inputs: Sequence[TensorSpec], *, purpose: str) -> Iterator[Sample]:
    """As :func:`read_samples`, one after another, so that nobody has to hold them all."""
    found = False
    for index, value in enumerate(_iterate(samples, purpose)):
        yield read_sample(value, inputs, f"{purpose} sample {index}")
        found = True
    if not found:
        raise UsageError(f"the {purpose} set is empty", "give at least one sample; 32 to 200 are usual")


def read_sample(value: Any, inputs: Sequence[TensorSpec], what: str) -> Sample:
    """One sample, checked; ``what`` names it in errors."""
    return _checked(_by_name(value, inputs, what), inputs, what)


def _iterate(samples: Samples, purpose: str) -> Iterator[Any]:
    if isinstance(samples, str | bytes | Mapping):
        raise UsageError(
            f"the {purpose} set is a {type(samples).__name__}, {str(samples)[:80]!r}",
            "give a list of samples, or a function that returns one; files are given with --calibration PATH",
        )
    try:
        yield from samples() if callable(samples) else samples
    except Exception as error:
        what = f"function that makes the {purpose} samples" if callable(samples) else f"{purpose} set"
        raise UsageError(
            f"the {what} failed: {type(error).__name__}: {error}", "call it by itself to see where"
        ) from error


def _by_name(value: Any, inputs: Sequence[TensorSpec], what: str) -> dict[str, Array]:
    try:
        return _arrays(value, inputs, what)
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{what} is no array of numbers: {error}", "give numpy arrays, torch tensors or nested lists of one length"
        ) from error


def _arrays(value: Any, inputs: Sequence[TensorSpec], what: str) -> dict[str, Array]:
    if isinstance(value, Mapping):
        return {str(name): to_array(array) for name, array in value.items()}
    values = value if isinstance(value, tuple | list) else (value,)
    if len(values) != len(inputs):
        raise UsageError(
            f"{what} has {len(values)} arrays, the model takes {len(inputs)}: {', '.join(i.name for i in inputs)}",
            "give a mapping from input name to array",
        )
    return {spec.name: to_array(array) for spec, array in zip(inputs, values, strict=True)}


def to_array(value: Any) -> Array:
    """A numpy array of a numpy array, a torch tensor, or nested lists of numbers."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()  # numpy has no bfloat16
    return np.ascontiguousarray(value)


def _checked(sample: dict[str, Array], inputs: Sequence[TensorSpec], what: str) -> Sample:
    names = [spec.name for spec in inputs]
    if set(sample) != set(names):
        raise UsageError(
            f"{what} names {', '.join(sorted(sample)) or 'nothing'}; the model takes {', '.join(names)}",
            "name every input once, as the model's forward does",
        )
    sample = {spec.name: _widened(sample[spec.name], spec) for spec in inputs}
    for spec in inputs:
        check_array(sample[spec.name], spec, what)
    return sample


def _widened(array: Array, spec: TensorSpec) -> Array:
    """Half precision as float32 where the model takes that: the same numbers."""
    return array.astype(np.float32) if array.dtype == np.float16 and spec.dtype == "float32" else array


def check_array(array: Array, spec: TensorSpec, what: str) -> None:
    """Raise UsageError where ``array`` is not what ``spec`` describes."""
    if str(array.dtype) != spec.dtype:
        raise UsageError(
            f"{what}: input {spec.name!r} is {array.dtype}, the model takes {spec.dtype}",
            f"convert it with .astype(np.{spec.dtype})",
        )
    if not fits(array.shape, spec):
        raise UsageError(
            f"{what}: input {spec.name!r} has shape {shape_text(array.shape)}, the model takes {spec_text(spec)}",
            _shape_hint(array.shape, spec),
        )
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        bad = int(array.size - np.isfinite(array).sum())
        raise UsageError(
            f"{what}: input {spec.name!r} holds {bad} NaN or infinite values of {array.size}",
            "find where the preprocessing divides by zero or reads uninitialised memory, or drop the sample",
        )


def _shape_hint(shape: tuple[int, ...], spec: TensorSpec) -> str:
    if fits((1, *shape), spec):
        return "each sample needs the batch axis too: array[None]; stacked in an .npz, samples then have two"
    return "preprocess it to the model's shape, or give the shape with --shape or dynamic_shapes"


def fits(shape: tuple[int, ...], spec: TensorSpec) -> bool:
    if len(shape) != len(spec.shape):
        return False
    for axis, (size, expected) in enumerate(zip(shape, spec.shape, strict=True)):
        dim = spec.dynamic.get(axis)
        if not (dim.minimum <= size <= dim.maximum if dim else size == expected):
            return False
    return True


def shape_text(shape: Sequence[int]) -> str:
    return "x".join(str(size) for size in shape) or "scalar"


def spec_text(spec: TensorSpec) -> str:
    """``1x2..128``: a shape with its dynamic dimensions as ranges."""
    sizes = []
    for axis, size in enumerate(spec.shape):
        dim = spec.dynamic.get(axis)
        sizes.append(f"{dim.minimum}..{dim.maximum}" if dim else str(size))
    return "x".join(sizes) or "scalar"


def similar_samples(example: Sample, count: int, seed: int = 0) -> tuple[Sample, ...]:
    """Random samples that resemble ``example``: normal values of its mean and spread, integers out of its own."""
    generator = np.random.default_rng(seed)
    return tuple({name: _similar(array, generator) for name, array in example.items()} for _ in range(count))


def _similar(array: Array, generator: np.random.Generator) -> Array:
    if not np.issubdtype(array.dtype, np.floating):
        return generator.choice(array.reshape(-1), size=array.shape).astype(array.dtype) if array.size else array
    spread = float(array.std()) if array.size else 0.0
    mean = float(array.mean()) if spread else 0.0
    return generator.normal(mean, spread or 1.0, array.shape).astype(array.dtype)
