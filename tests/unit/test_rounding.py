"""Where GPTQ is used: by measurement, matrix by matrix, and never where it cannot know better."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ashore import LayerRule, Precision, Recipe, Rounding  # noqa: E402
from ashore.types.conversion import ConversionRequest  # noqa: E402
from ashore.types.tensor import Sample  # noqa: E402
from ashore_converters import rounding  # noqa: E402
from ashore_converters.gptq import Grid, round_to_nearest  # noqa: E402
from ashore_converters.rounding import Chosen, Matrices, See, choose_rounding, with_carried_out  # noqa: E402

COLUMNS, GROUP = 64, 32


def samples(count: int) -> tuple[Sample, ...]:
    generator = np.random.default_rng(0)
    mix = generator.standard_normal((8, COLUMNS))
    return tuple({"x": (generator.standard_normal((50, 8)) @ mix).astype(np.float32)} for _ in range(count))


def weights(count: int) -> dict[int, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {key: torch.randn(16, COLUMNS, generator=generator) for key in range(count)}


def to_the_nearest(weight: torch.Tensor, grid: Grid) -> torch.Tensor:
    return round_to_nearest(weight, grid).values


def chosen(
    matrices: Mapping[int, torch.Tensor], count: int = 8, gains: Mapping[int, float] | None = None, **settings: object
) -> Chosen:
    """``gains``: what each matrix's inputs are multiplied with; those without one are never called."""
    factors = dict.fromkeys(matrices, 1.0) if gains is None else gains

    def run(sample: Sample, see: See) -> None:
        for key, factor in factors.items():
            see(key, factor * torch.from_numpy(sample["x"]))

    recipe = Recipe(Precision.INT4, group_size=GROUP, **settings)
    request = ConversionRequest(torch.nn.Identity(), (), (), {}, samples(count), recipe)
    return choose_rounding(request, Matrices(matrices, run, to_the_nearest), lambda _step: None)


def test_gptq_is_used_and_its_gain_is_told() -> None:
    found = chosen(weights(2))
    assert set(found.rounded) == {0, 1}
    (told,) = found.told
    assert told.startswith("GPTQ rounds the 4-bit weights of 2 of 2 layers") and "dB smaller" in told


CARRIED_OUT = [
    (Recipe(Precision.INT4), True, Rounding.GPTQ),
    (Recipe(Precision.INT4), False, Rounding.NEAREST),
    (Recipe(Precision.INT8), False, Rounding.NEAREST),
    (Recipe(Precision.INT8, rounding=Rounding.GPTQ), True, Rounding.GPTQ),
    (Recipe(Precision.INT8, (LayerRule("head", Precision.INT4),)), True, Rounding.AUTO),
    (Recipe(Precision.INT8, (LayerRule("head", Precision.FP32),)), False, Rounding.NEAREST),
    (Recipe(Precision.FP32), False, Rounding.AUTO),
]


@pytest.mark.parametrize(("recipe", "by_gptq", "rounding"), CARRIED_OUT)
def test_the_recipe_says_what_was_carried_out(recipe: Recipe, by_gptq: bool, rounding: Rounding) -> None:
    assert with_carried_out(recipe, by_gptq=by_gptq).rounding is rounding


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_samples_leave_the_nearest_and_say_what_would_help(count: int) -> None:
    found = chosen(weights(1), count)
    assert not found.rounded
    (told,) = found.told
    assert f"needs 2 calibration samples and has {count}; given with --calibration or in the ModelSource" in told


def test_two_samples_suffice() -> None:
    assert chosen(weights(1), 2).rounded


def test_a_layer_that_is_never_called_or_sees_no_numbers_is_left_alone() -> None:
    found = chosen(weights(4), gains={0: 1.0, 2: float("inf"), 3: 0.0})
    assert set(found.rounded) == {0}
    assert "1 of 4 layers" in found.told[0]


def test_where_it_gains_nothing_the_nearest_integers_are_kept() -> None:
    exact = {0: to_the_nearest(weights(1)[0], Grid(7, GROUP, short_scales=True))}
    found = chosen(exact)
    assert not found.rounded
    assert found.told == ("4-bit weights are rounded to the nearest: GPTQ brings no layer closer to PyTorch",)


def test_where_the_whole_model_comes_out_worse_the_nearest_integers_are_kept() -> None:
    def run(sample: Sample, see: See) -> None:
        see(0, torch.from_numpy(sample["x"]))

    request = ConversionRequest(torch.nn.Identity(), (), (), {}, samples(8), Recipe(Precision.INT8))
    for gain_db, kept in ((-0.1, False), (0.1, True)):
        matrices = Matrices(
            weights(1), run, bits=8, measure_db=lambda rounded, gain_db=gain_db: 30 + gain_db * len(rounded)
        )
        found = choose_rounding(request, matrices, lambda _step: None)
        assert bool(found.rounded) is kept
        assert ("but not the whole model" in found.told[0]) is not kept


def test_it_is_judged_by_samples_it_did_not_learn_from() -> None:
    """The samples that judge have inputs of their own, on which what was learned from the others is of no use."""
    matrix = weights(1)

    def run(sample: Sample, see: See) -> None:
        see(0, torch.from_numpy(sample["x"]))

    others = [{"x": np.eye(COLUMNS, dtype=np.float32)}] * 2
    request = ConversionRequest(
        torch.nn.Identity(), (), (), {}, (*samples(3), others[0], *samples(3), others[1]), Recipe(Precision.INT4)
    )
    found = choose_rounding(request, Matrices(matrix, run, to_the_nearest), lambda _step: None)
    assert not found.rounded


def test_rows_that_groups_do_not_divide_have_one_scale() -> None:
    def run(sample: Sample, see: See) -> None:
        see(0, torch.from_numpy(sample["x"][:, :40]))

    request = ConversionRequest(torch.nn.Identity(), (), (), {}, samples(8), Recipe(Precision.INT4))
    found = choose_rounding(request, Matrices({0: weights(1)[0][:, :40]}, run, to_the_nearest), lambda _step: None)
    assert found.rounded[0].scales.shape == (16, 1)


def test_many_layers_are_observed_in_several_passes_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    matrices, passes = weights(3), []

    def run(sample: Sample, see: See) -> None:
        passes.append(sample)
        for key in matrices:
            see(key, torch.from_numpy(sample["x"]))

    request = ConversionRequest(torch.nn.Identity(), (), (), {}, samples(8), Recipe(Precision.INT4))

    def found() -> Chosen:
        passes.clear()
        return choose_rounding(request, Matrices(matrices, run, to_the_nearest), lambda _step: None)

    together = found()
    assert len(passes) < 2 * 8
    monkeypatch.setattr(rounding, "_MOMENT_BYTES", 3 * 4 * COLUMNS**2)
    apart = found()
    assert len(passes) >= 3 * 8
    assert all(torch.equal(apart.rounded[key].integers, one.integers) for key, one in together.rounded.items())
    assert apart.told == together.told
