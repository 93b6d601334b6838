"""How many of a network's first layers are worth keeping in float, decided by measurement on calibration samples.

The first layers of a picture network see few channels with wide-ranging values: int8 costs them most, and as the
model's edge is float anyway, a float start adds no conversion between the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ashore.types.sensitivity import LayerReading
from ashore.types.tensor import Array, Sample

_MEASURED_SAMPLES = 16
GAIN_PER_LAYER_DB = 1.0
"""What every layer kept in float must win, or the file stays int8 throughout."""

MAX_LAYERS = 4


@dataclass(frozen=True)
class FloatStart:
    """``layers`` of the first layers stay in float; SQNR in dB on the calibration samples without and with that."""

    layers: int
    int8_sqnr_db: float
    sqnr_db: float


def choose_float_start(measure_sqnr_db: Callable[[int], float], most: int = MAX_LAYERS) -> FloatStart:
    """Measure the file with 0, 1, … ``most`` float layers at its start and take the one that pays best."""
    measured = [measure_sqnr_db(layers) for layers in range(most + 1)]
    best = max(range(most + 1), key=lambda layers: measured[layers] - GAIN_PER_LAYER_DB * layers)
    return FloatStart(best, measured[0], measured[best])


def spread(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Some of them to measure on, evenly over the whole set."""
    return samples[:: max(1, len(samples) // _MEASURED_SAMPLES)][:_MEASURED_SAMPLES]


def sqnr_db(reference: Sequence[Array], got: Sequence[Array]) -> float:
    """10 log10 of signal power over error power, over all samples; 200 where nothing differs."""
    pairs = [(r.astype(np.float64), g.astype(np.float64)) for r, g in zip(reference, got, strict=True)]
    signal = sum(float((r * r).sum()) for r, _ in pairs)
    error = sum(float(((r - g) ** 2).sum()) for r, g in pairs)
    return 200.0 if error == 0 else 10 * float(np.log10(max(signal, 1e-300) / error))


def reading(reference: Sequence[Array], got: Sequence[Array]) -> LayerReading:
    """What one layer's float outputs show, and how far the int8 model's are from them, over all samples."""
    magnitudes = np.abs(np.concatenate([array.ravel() for array in reference]))
    bulk, largest = float(np.quantile(magnitudes, 0.999)), float(magnitudes.max())
    return LayerReading(
        low=min(float(array.min()) for array in reference),
        high=max(float(array.max()) for array in reference),
        outliers=largest / bulk if bulk else 1.0,
        sqnr_db=sqnr_db(reference, got),
    )
