"""Observers that keep what each calibration sample showed, and can stand in for int8 in a trial run.

An observer first watches the float model. Once told to ``simulate``, it rounds what passes through it to the int8
grid it has chosen, so that the accuracy of a choice can be measured in PyTorch without making a file.
"""

from __future__ import annotations

from typing import Any

import torch
from torchao.quantization.pt2e import PlaceholderObserver
from torchao.quantization.pt2e.observer import UniformQuantizationObserverBase
from torchao.quantization.pt2e.quantizer import QuantizationSpec

from ashore.types.recipe import RangeEstimator
from ashore_converters.executorch.quantizer import Specs
from ashore_converters.ranges import Histogram, range_from_samples

_SMALLEST_SCALE = 2.0**-16
_SMALLEST_WEIGHT_SCALE = 2.0**-20
"""Of a channel of zeros; XNNPACK's requantization wants no scale near the end of float32."""

_FEW_VALUES = 4096
"""A sample's extremes are a fair bound of a tensor only where it has many values; below, the mean clips too many."""


class ActivationObserver(UniformQuantizationObserverBase):  # type: ignore[misc]  # torchao ships no types
    """Records the extremes of each sample; the range follows :func:`ashore_converters.ranges.range_from_samples`."""

    def __init__(self, estimator: RangeEstimator = RangeEstimator.MEAN, **options: Any) -> None:
        super().__init__(**options)
        self.estimator = estimator
        self.minima: list[float] = []
        self.maxima: list[float] = []
        self.histogram: Histogram | None = None
        self.caution = 0.0
        self.true_range = False
        self.watching = True
        self.simulate = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.simulate:
            scale, zero_point = self.calculate_qparams()
            return torch.fake_quantize_per_tensor_affine(
                x, float(scale), int(zero_point), self.quant_min, self.quant_max
            )
        if self.watching and self.histogram is not None:
            self.histogram.add(x.detach().numpy())
        elif self.watching and x.numel():
            self._add_extremes(x.detach())
        return x

    def count(self) -> None:
        """From now on, and on the same samples, count how often values come."""
        if self.minima:
            self.histogram = Histogram(min(self.minima), max(self.maxima))

    def calculate_qparams(self) -> tuple[torch.Tensor, torch.Tensor]:
        low, high = range_from_samples(
            self.minima,
            self.maxima,
            estimator=self.estimator,
            histogram=self.histogram,
            caution=1.0 if self.true_range else self.caution,
        )
        scale, zero_point = self._calculate_qparams(torch.tensor(low), torch.tensor(high))
        return scale, zero_point

    def _add_extremes(self, x: torch.Tensor) -> None:
        low, high = torch.aminmax(x)
        self.minima.append(float(low))
        self.maxima.append(float(high))
        self.true_range |= self.estimator is RangeEstimator.MEAN and x.numel() < _FEW_VALUES


class PerChannelWeightObserver(UniformQuantizationObserverBase):  # type: ignore[misc]  # torchao ships no types
    """Symmetric, one scale per output channel, from the weight itself; looks at it once.

    torchao hands ``ch_axis`` only to classes with PerChannel in their name.
    """

    def __init__(self, ch_axis: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.ch_axis = ch_axis
        self.simulate = False
        self.scale = torch.empty(0)
        self.rounded: torch.Tensor | None = None

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        if not self.scale.numel():
            self.look_at(weight.detach())
        if not self.simulate:
            return weight
        if self.rounded is None:
            zero_point = torch.zeros(self.scale.shape, dtype=torch.int32)
            self.rounded = torch.fake_quantize_per_channel_affine(
                weight, self.scale, zero_point, self.ch_axis, self.quant_min, self.quant_max
            )
        return self.rounded

    def calculate_qparams(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.scale, torch.zeros(self.scale.shape, dtype=torch.int64)

    def look_at(self, weight: torch.Tensor) -> None:
        """It is this one that counts, whatever was seen before."""
        self.scale, self.rounded = self._channel_scales(weight), None

    def _channel_scales(self, weight: torch.Tensor) -> torch.Tensor:
        other = [axis for axis in range(weight.dim()) if axis != self.ch_axis]
        scales: torch.Tensor = (weight.abs().amax(other) / self.quant_max).clamp(min=float(self.eps))
        return scales


def specs(estimator: RangeEstimator) -> Specs:
    """Affine int8 activations; symmetric int8 weights with one scale per output channel."""
    return Specs(
        activation=QuantizationSpec(
            dtype=torch.int8,
            quant_min=-128,
            quant_max=127,
            qscheme=torch.per_tensor_affine,
            observer_or_fake_quant_ctr=ActivationObserver.with_args(eps=_SMALLEST_SCALE, estimator=estimator),
        ),
        dynamic_activation=QuantizationSpec(
            dtype=torch.int8,
            quant_min=-128,
            quant_max=127,
            qscheme=torch.per_tensor_affine,
            is_dynamic=True,
            observer_or_fake_quant_ctr=PlaceholderObserver.with_args(eps=_SMALLEST_SCALE),
        ),
        weight=_weight_spec(output_axis=0),
        transposed_weight=_weight_spec(output_axis=1),
    )


def _weight_spec(output_axis: int) -> QuantizationSpec:
    return QuantizationSpec(
        dtype=torch.int8,
        quant_min=-127,
        quant_max=127,
        qscheme=torch.per_channel_symmetric,
        ch_axis=output_axis,
        observer_or_fake_quant_ctr=PerChannelWeightObserver.with_args(eps=_SMALLEST_WEIGHT_SCALE),
    )
