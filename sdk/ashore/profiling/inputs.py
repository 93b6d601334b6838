"""What a model is given while it is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ashore.pipeline.edges import at_edge
from ashore.pipeline.golden import load_golden
from ashore.types.artifact import Artifact
from ashore.types.profile import InputsOrigin
from ashore.types.tensor import Array, Sample, TensorSpec

_SEED = 4


@dataclass(frozen=True)
class Inputs:
    """One sample; ``golden`` is None where the artifact has none."""

    golden: Sample | None

    @classmethod
    def of(cls, artifact: Artifact) -> Inputs:
        return cls(load_golden(artifact, "in")[0] if artifact.manifest else None)

    @property
    def origin(self) -> InputsOrigin:
        return InputsOrigin.RANDOM if self.golden is None else InputsOrigin.GOLDEN

    def at_edge(self, specs: Sequence[TensorSpec]) -> Sample:
        """As a file with these inputs takes it."""
        return random_sample(specs) if self.golden is None else at_edge(specs, self.golden)


def random_sample(specs: Sequence[TensorSpec]) -> Sample:
    """Values of the described shapes, the same every time.

    Floats are normal. Quantized tensors take any stored value. Other integers are 0 or 1: they may be indices, and
    every table has those.
    """
    generator = np.random.default_rng(_SEED)
    return {spec.name: _random(spec, generator) for spec in specs}


def _random(spec: TensorSpec, generator: np.random.Generator) -> Array:
    dtype = np.dtype(spec.dtype)
    if np.issubdtype(dtype, np.floating):
        return generator.normal(size=spec.shape).astype(dtype)
    low, high = 0, 1
    if spec.quantization is not None:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    drawn: Array = generator.integers(low, high, size=spec.shape, endpoint=True).astype(dtype)
    return drawn
