"""Integers of 4 bits, found again in the floats that they were turned into."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from ashore_converters.gptq import LARGEST_OF_4_BITS, Grid  # noqa: E402
from ashore_converters.held import held_integers  # noqa: E402

GROUPS = Grid(LARGEST_OF_4_BITS, 32)
ROW = Grid(LARGEST_OF_4_BITS)


def integers(low: int = -8, high: int = 7) -> torch.Tensor:
    drawn = torch.randint(low, high + 1, (16, 64), generator=torch.Generator().manual_seed(1))
    drawn[:, ::32] = high  # else a group may lack it, and a finer grid explains it as well
    return drawn.to(torch.int8)


def scales(groups: int = 2) -> torch.Tensor:
    return 0.01 + torch.rand(16, groups, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("low", [-8, -7])
def test_integers_and_scales_are_found_again(low: int, dtype: torch.dtype) -> None:
    kept, steps = integers(low), scales()
    found = held_integers((kept * steps.repeat_interleave(32, 1)).to(dtype), GROUPS)
    assert found is not None
    assert torch.equal(found.integers, kept)
    assert torch.allclose(found.scales, steps, rtol=4e-3)  # of bfloat16, half a digit


def test_wider_groups_hold_in_narrower_ones_but_not_the_other_way() -> None:
    by_row, by_group = (integers() * scales(count).repeat_interleave(64 // count, 1) for count in (1, 2))
    assert held_integers(by_row, GROUPS) is not None
    assert held_integers(by_group, ROW) is None


def test_a_group_of_zeros_stays_zeros() -> None:
    floats = integers() * 0.1
    floats[3, 32:] = 0
    found = held_integers(floats, GROUPS)
    assert found is not None
    assert not found.integers[3, 32:].any() and found.scales[3, 1] == 1
    assert torch.allclose(found.values, floats)


@pytest.mark.parametrize("largest", [9, 15])
def test_what_needs_more_than_four_bits_is_not_held(largest: int) -> None:
    assert held_integers(integers(-largest, largest) * 0.1, GROUPS) is None


def test_any_other_weights_are_not_held() -> None:
    floats = torch.randn(16, 64, generator=torch.Generator().manual_seed(3))
    assert held_integers(floats, GROUPS) is None and held_integers(floats, ROW) is None


def test_scales_have_the_digits_that_the_file_keeps() -> None:
    found = held_integers(integers() * scales().repeat_interleave(32, 1), Grid(LARGEST_OF_4_BITS, 32, True))
    assert found is not None
    assert torch.equal(found.scales, found.scales.bfloat16().float())
