"""How a model is to be converted: one precision, and exceptions by layer."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum

from ashore.errors import UsageError
from ashore.types.precision import Precision


class Rounding(StrEnum):
    """How weights become integers: each to the nearest, or by GPTQ (Frantar et al. 2022, arXiv:2210.17323).

    ``auto``: by GPTQ in ``int4``, to the nearest elsewhere.
    """

    NEAREST = "nearest"
    GPTQ = "gptq"
    AUTO = "auto"


class RangeEstimator(StrEnum):
    """How static int8 finds the range of an activation inside the network from what calibration samples show.

    The mean of the samples' extremes, or more of all that was seen where that measures better; the extremes of all;
    the range of all values but 0.01 % (Wu et al. 2020, arXiv:2004.09602); or the one with the least squared error of
    rounding (Nagel et al. 2021, arXiv:2106.08295).
    """

    MEAN = "mean"
    MINMAX = "minmax"
    PERCENTILE = "percentile"
    MSE = "mse"


class Repair(StrEnum):
    """What is done to a float model so that quantizing costs it less; carried out in this order.

    SmoothQuant (Xiao et al. 2022, arXiv:2211.10438); cross-layer equalization and bias correction (Nagel et al. 2019,
    arXiv:1906.04721).
    """

    SMOOTHQUANT = "smoothquant"
    EQUALIZATION = "equalization"
    BIAS_CORRECTION = "bias_correction"


@dataclass(frozen=True)
class LayerRule:
    """Layers whose module path in the user's model fully matches ``pattern`` get ``precision``."""

    pattern: str
    precision: Precision

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise UsageError(
                f"layer pattern {self.pattern!r} is not a regular expression: {error}",
                "patterns are matched against module paths such as 'features.0.0' with re.fullmatch",
            ) from error

    def matches(self, module_path: str) -> bool:
        return re.fullmatch(self.pattern, module_path) is not None


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the numbers in the file.

    Attributes:
        precision: the file's precision.
        layers: exceptions, the first match wins.
        int8_io: quantized tensors at the model's edge instead of float ones (static int8 only).
        group_size: weights that share one scale in ``int4``.
        calibration_samples: at most so many samples are observed, for static ranges and for GPTQ.
        rounding: of weights; a layer that GPTQ does not bring closer is rounded to the nearest.
        ranges: of the activations in static int8.
        repairs: each is kept only where calibration samples held back show that it helps.
    """

    precision: Precision = Precision.FP32
    layers: tuple[LayerRule, ...] = ()
    int8_io: bool = False
    group_size: int = 32
    calibration_samples: int = 64
    rounding: Rounding = Rounding.AUTO
    ranges: RangeEstimator = RangeEstimator.MEAN
    repairs: tuple[Repair, ...] = ()

    def __post_init__(self) -> None:
        for name in ("group_size", "calibration_samples"):
            if getattr(self, name) < 1:
                raise UsageError(f"a recipe's {name} is {getattr(self, name)}", "give 1 or more")

    @property
    def precisions(self) -> frozenset[Precision]:
        """All that it asks for, of the file or of a layer."""
        return frozenset((self.precision, *(rule.precision for rule in self.layers)))

    @property
    def gains_by_calibration(self) -> bool:
        """Whether samples make a better file, which can be made without them."""
        return any(self.rounding_of(precision) is Rounding.GPTQ for precision in self.precisions)

    def rounding_of(self, precision: Precision) -> Rounding | None:
        """What is asked for weights of that precision; None where they stay float."""
        if not precision.rounds_weights:
            return None
        if self.rounding is not Rounding.AUTO:
            return self.rounding
        return Rounding.GPTQ if precision is Precision.INT4 else Rounding.NEAREST

    @property
    def repairs_something(self) -> bool:
        """Whether it asks for repairs, and for integers that they are good for."""
        return bool(self.repairs) and self.precision not in (Precision.FP32, Precision.FP16)

    def precision_of(self, module_path: str) -> Precision:
        """The precision this recipe asks for a layer, by its module path in the user's model."""
        for rule in self.layers:
            if rule.matches(module_path):
                return rule.precision
        return self.precision

    def with_precision(self, precision: Precision) -> Recipe:
        return replace(self, precision=precision)
