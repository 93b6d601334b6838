"""Observers that keep what each calibration sample showed, so that ranges can be chosen after the fact."""

from __future__ import annotations

from typing import Any

import torch
from torchao.quantization.pt2e import PerChannelMinMaxObserver, PlaceholderObserver
from torchao.quantization.pt2e.observer import UniformQuantizationObserverBase
from torchao.quantization.pt2e.quantizer import QuantizationSpec

from ashore_converters.executorch_quantizer import Specs
from ashore_converters.ranges import range_from_samples

_SMALLEST_SCALE = 2.0**-12


class SampleRangeObserver(UniformQuantizationObserverBase):  # type: ignore[misc]  # torchao ships no types
    """Records the extremes of each sample; the range follows :func:`ashore_converters.ranges.range_from_samples`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.minima: list[float] = []
        self.maxima: list[float] = []
        self.true_range = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.numel():
            low, high = torch.aminmax(x.detach())
            self.minima.append(float(low))
            self.maxima.append(float(high))
        return x

    def calculate_qparams(self) -> tuple[torch.Tensor, torch.Tensor]:
        low, high = range_from_samples(self.minima, self.maxima, true_range=self.true_range)
        scale, zero_point = self._calculate_qparams(torch.tensor(low), torch.tensor(high))
        return scale, zero_point


def static_specs() -> Specs:
    """Affine int8 activations; symmetric int8 weights with one scale per output channel."""
    return Specs(
        activation=QuantizationSpec(
            dtype=torch.int8,
            quant_min=-128,
            quant_max=127,
            qscheme=torch.per_tensor_affine,
            observer_or_fake_quant_ctr=SampleRangeObserver.with_args(eps=_SMALLEST_SCALE),
        ),
        weight=_weight_spec(output_axis=0),
        transposed_weight=_weight_spec(output_axis=1),
    )


def dynamic_specs() -> Specs:
    """Affine int8 activations measured at run time; weights as in :func:`static_specs`."""
    return Specs(
        activation=QuantizationSpec(
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
        observer_or_fake_quant_ctr=PerChannelMinMaxObserver.with_args(eps=_SMALLEST_SCALE),
    )
