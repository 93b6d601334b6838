"""Real values in and out of a session whose file may take quantized ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ashore.interfaces import Session
from ashore.types.tensor import Array, Sample, TensorSpec


def run_real(session: Session, sample: Sample) -> Sample:
    """Run on real values: inputs are quantized and outputs dequantized where the file's edge is quantized."""
    results = session.run(at_edge(session.inputs, sample))
    return {spec.name: _dequantize(results[spec.name], spec) for spec in session.outputs}


def at_edge(inputs: Sequence[TensorSpec], sample: Sample) -> Sample:
    """Real values as the file takes them: quantized where its edge is."""
    return {spec.name: _quantize(sample[spec.name], spec) for spec in inputs}


def _quantize(array: Array, spec: TensorSpec) -> Array:
    if spec.quantization is None:
        return array
    info = np.iinfo(spec.dtype)
    stored = np.rint(array.astype(np.float32) / spec.quantization.scale) + spec.quantization.zero_point
    quantized: Array = np.clip(stored, info.min, info.max).astype(spec.dtype)
    return quantized


def _dequantize(array: Array, spec: TensorSpec) -> Array:
    if spec.quantization is None:
        return array
    real: Array = ((array.astype(np.float32) - spec.quantization.zero_point) * spec.quantization.scale).astype(
        np.float32
    )
    return real
