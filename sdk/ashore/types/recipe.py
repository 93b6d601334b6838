"""How a model is to be converted: one precision, and exceptions by layer."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ashore.errors import UsageError
from ashore.types.precision import Precision


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
        calibration_samples: at most so many samples are observed for static ranges.
    """

    precision: Precision = Precision.FP32
    layers: tuple[LayerRule, ...] = ()
    int8_io: bool = False
    group_size: int = 32
    calibration_samples: int = 64

    def __post_init__(self) -> None:
        for name in ("group_size", "calibration_samples"):
            if getattr(self, name) < 1:
                raise UsageError(f"a recipe's {name} is {getattr(self, name)}", "give 1 or more")

    def precision_of(self, module_path: str) -> Precision:
        """The precision this recipe asks for a layer, by its module path in the user's model."""
        for rule in self.layers:
            if rule.matches(module_path):
                return rule.precision
        return self.precision

    def with_precision(self, precision: Precision) -> Recipe:
        return replace(self, precision=precision)
