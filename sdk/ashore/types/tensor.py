"""What goes in and out of a model: descriptions of tensors, and samples of their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Sample = Mapping[str, Array]
"""One set of inputs (or outputs) by tensor name."""


@dataclass(frozen=True)
class DynamicDim:
    """A dimension whose size is chosen at run time, between ``minimum`` and ``maximum`` inclusive."""

    name: str
    minimum: int
    maximum: int


@dataclass(frozen=True)
class Quantization:
    """Affine quantization of a tensor at the file's edge: real = scale * (stored - zero_point)."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and element type of one input or output.

    ``shape`` is the example's; dimensions listed in ``dynamic`` (axis -> range) may differ at run time.
    ``dtype`` is numpy's name (``float32``, ``int64``). ``layout`` is ``NCHW``, ``NHWC``… where known.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    layout: str | None = None
    dynamic: Mapping[int, DynamicDim] = field(default_factory=dict)
    quantization: Quantization | None = None
