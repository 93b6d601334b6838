"""How a model is to be converted: one precision, and exceptions by layer."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum

from ashore.errors import UsageError
from ashore.types.precision import Precision


class Rounding(StrEnum):
    """How weights become 4-bit integers: each to the nearest, or by GPTQ (Frantar et al. 2022, arXiv:2210.17323)."""

    NEAREST = "nearest"
    GPTQ = "gptq"


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
        rounding: of the weights in ``int4``; a layer that GPTQ does not bring closer is rounded to the nearest.
    """

    precision: Precision = Precision.FP32
    layers: tuple[LayerRule, ...] = ()
    int8_io: bool = False
    group_size: int = 32
    calibration_samples: int = 64
    rounding: Rounding = Rounding.GPTQ

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
        return self.rounding is Rounding.GPTQ and Precision.INT4 in self.precisions

    def precision_of(self, module_path: str) -> Precision:
        """The precision this recipe asks for a layer, by its module path in the user's model."""
        for rule in self.layers:
            if rule.matches(module_path):
                return rule.precision
        return self.precision

    def with_precision(self, precision: Precision) -> Recipe:
        return replace(self, precision=precision)
