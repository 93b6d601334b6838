"""GPTQ: closer than the nearest integers where inputs go together, and found again by whoever rounds to the nearest."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from ashore_converters import gptq  # noqa: E402
from ashore_converters.gptq import LARGEST_OF_4_BITS, LARGEST_OF_8_BITS, Grid, round_to_nearest, round_weight  # noqa: E402

GROUP = 32


def correlated(rows: int = 2000, columns: int = 64) -> torch.Tensor:
    """Inputs that hang together, as they do behind other layers."""
    generator = torch.Generator().manual_seed(1)
    few = torch.randn(rows, 8, generator=generator) @ torch.randn(8, columns, generator=generator)
    return few + 0.3 * torch.randn(rows, columns, generator=generator)


def weight(outputs: int = 24, columns: int = 64) -> torch.Tensor:
    return torch.randn(outputs, columns, generator=torch.Generator().manual_seed(2))


GRIDS = {
    "groups of 32": Grid(LARGEST_OF_4_BITS, GROUP, short_scales=True),
    "a row": Grid(LARGEST_OF_4_BITS, short_scales=True),
    "8 bits": Grid(LARGEST_OF_8_BITS),
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_outputs_come_much_closer_than_with_the_nearest_integers(grid: Grid) -> None:
    inputs, floats = correlated(), weight()
    learned, fresh = inputs[:1500], inputs[1500:]
    rounded, usual = round_weight(floats, learned.T @ learned, grid), round_to_nearest(floats, grid)
    errors = [(fresh @ (floats - each.values).T).square().sum() for each in (rounded, usual)]
    assert errors[0] < errors[1] / 3


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_rounding_the_values_to_the_nearest_finds_integers_and_scales_again(grid: Grid) -> None:
    inputs = correlated()
    rounded = round_weight(weight(), inputs.T @ inputs, grid)
    again = round_to_nearest(rounded.values, grid)
    assert torch.equal(again.integers, rounded.integers)
    assert torch.allclose(again.scales, rounded.scales, rtol=1e-6)
    assert rounded.integers.dtype == torch.int8 and rounded.integers.abs().max() == grid.largest


def test_rows_longer_than_a_block_are_rounded_as_if_it_were_one(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, floats = correlated(columns=300), weight(columns=300)
    moments = inputs.T @ inputs
    whole, blocks = (round_in_blocks_of(size, floats, moments, monkeypatch) for size in (300, 64))
    assert (whole != blocks).float().mean() < 0.01  # sums in another order


def round_in_blocks_of(
    size: int, floats: torch.Tensor, moments: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> torch.Tensor:
    monkeypatch.setattr(gptq, "_BLOCK", size)
    return round_weight(floats, moments, GRIDS["8 bits"]).integers


def test_many_matrices_at_once_are_rounded_as_each_alone() -> None:
    """As the channels of a depthwise convolution are; one of them never sees anything but zeros."""
    generator = torch.Generator().manual_seed(3)
    inputs, floats = torch.randn(5, 200, 9, generator=generator), torch.randn(5, 1, 9, generator=generator)
    inputs[3] = 0
    grid, moments = GRIDS["8 bits"], inputs.mT @ inputs
    together = round_weight(floats, moments, grid)
    alone = [round_weight(floats[channel], moments[channel], grid).values for channel in range(5)]
    assert torch.allclose(together.values, torch.stack(alone))
    assert torch.equal(together.integers[3], round_to_nearest(floats[3], grid).integers)


def test_scales_have_the_digits_that_engines_keep() -> None:
    inputs = correlated()
    scales = round_weight(weight(), inputs.T @ inputs, GRIDS["groups of 32"]).scales
    assert torch.equal(scales, scales.bfloat16().float()) and torch.equal(scales, scales.half().float())


def test_weights_of_inputs_that_are_always_zero_are_rounded_to_the_nearest() -> None:
    inputs, floats = correlated(), weight()
    inputs[:, 5], inputs[:, 40:] = 0, 0
    rounded = round_weight(floats, inputs.T @ inputs, GRIDS["groups of 32"])
    assert rounded.values[:, 5].isfinite().all()
    off = (floats[:, 40:] - rounded.values[:, 40:]).abs() / rounded.scales[:, 1:]
    assert off.max() <= 0.5 + 7 * 0.2  # half a step, and what the grid may cut off


def test_a_group_of_zeros_stays_zero() -> None:
    inputs, floats = torch.eye(64), weight()
    floats[:, :GROUP] = 0
    rounded = round_weight(floats, inputs, GRIDS["groups of 32"])
    assert not rounded.integers[:, :GROUP].any() and (rounded.scales > 0).all()


def test_moments_that_cannot_be_inverted_are_told() -> None:
    with pytest.raises(torch.linalg.LinAlgError):
        round_weight(weight(), -torch.eye(64), GRIDS["groups of 32"])
