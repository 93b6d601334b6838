"""GPTQ: closer than the nearest integers where inputs go together, and found again by whoever rounds to the nearest."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from ashore_converters.gptq import LARGEST, round_weight  # noqa: E402

GROUP = 32


def correlated(rows: int = 2000, columns: int = 64) -> torch.Tensor:
    """Inputs that hang together, as they do behind other layers."""
    generator = torch.Generator().manual_seed(1)
    few = torch.randn(rows, 8, generator=generator) @ torch.randn(8, columns, generator=generator)
    return few + 0.3 * torch.randn(rows, columns, generator=generator)


def weight(outputs: int = 24, columns: int = 64) -> torch.Tensor:
    return torch.randn(outputs, columns, generator=torch.Generator().manual_seed(2))


def nearest(values: torch.Tensor, group_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Integers and scales of the usual symmetric grid."""
    groups = values.reshape(len(values), -1, group_size)
    scales = groups.abs().amax(-1) / LARGEST
    return (groups / scales[..., None]).round().reshape(values.shape), scales


@pytest.mark.parametrize("group_size", [GROUP, 64])
def test_outputs_come_much_closer_than_with_the_nearest_integers(group_size: int) -> None:
    inputs, floats = correlated(), weight()
    integers, scales = nearest(floats, group_size)
    usual = (integers.reshape(len(floats), -1, group_size) * scales[..., None]).reshape(floats.shape)
    learned, fresh = inputs[:1500], inputs[1500:]
    rounded = round_weight(floats, learned.T @ learned, group_size)
    errors = [(fresh @ (floats - values).T).square().sum() for values in (rounded.values, usual)]
    assert errors[0] < errors[1] / 3


@pytest.mark.parametrize("group_size", [GROUP, 64])
def test_rounding_the_values_to_the_nearest_finds_integers_and_scales_again(group_size: int) -> None:
    inputs = correlated()
    rounded = round_weight(weight(), inputs.T @ inputs, group_size)
    integers, scales = nearest(rounded.values, group_size)
    assert torch.equal(integers, rounded.integers.float()) and torch.equal(scales, rounded.scales)
    assert rounded.integers.dtype == torch.int8 and rounded.integers.abs().max() == LARGEST


def test_scales_have_the_digits_that_engines_keep() -> None:
    inputs = correlated()
    scales = round_weight(weight(), inputs.T @ inputs, GROUP).scales
    assert torch.equal(scales, scales.bfloat16().float()) and torch.equal(scales, scales.half().float())


def test_weights_of_inputs_that_are_always_zero_are_rounded_to_the_nearest() -> None:
    inputs, floats = correlated(), weight()
    inputs[:, 5], inputs[:, 40:] = 0, 0
    rounded = round_weight(floats, inputs.T @ inputs, GROUP)
    assert rounded.values[:, 5].isfinite().all()
    off = (floats[:, 40:] - rounded.values[:, 40:]).abs() / rounded.scales[:, 1:]
    assert off.max() <= 0.5 + 7 * 0.2  # half a step, and what the grid may cut off


def test_a_group_of_zeros_stays_zero() -> None:
    inputs, floats = torch.eye(64), weight()
    floats[:, :GROUP] = 0
    rounded = round_weight(floats, inputs, GROUP)
    assert not rounded.integers[:, :GROUP].any() and (rounded.scales > 0).all()


def test_moments_that_cannot_be_inverted_are_told() -> None:
    with pytest.raises(torch.linalg.LinAlgError):
        round_weight(weight(), -torch.eye(64), GROUP)
