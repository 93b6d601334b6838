"""Recipes as TOML: what is written reads back, and what no recipe knows is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ashore import LayerRule, Precision, RangeEstimator, Recipe, Repair, Rounding, UsageError, dump_recipe, load_recipe

RECIPES = [
    Recipe(),
    Recipe(Precision.INT8, (LayerRule(r"features\.[0-2]\..*", Precision.FP32), LayerRule("head", Precision.FP16))),
    Recipe(Precision.INT4, group_size=128, rounding=Rounding.NEAREST),
    Recipe(Precision.INT8, int8_io=True, calibration_samples=7),
    Recipe(Precision.MIXED, ranges=RangeEstimator.MSE),
    Recipe(Precision.INT8_DYNAMIC, repairs=(Repair.SMOOTHQUANT, Repair.BIAS_CORRECTION)),
]


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.precision.value)
def test_a_written_recipe_reads_back_the_same(recipe: Recipe, tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, dump_recipe(recipe))) == recipe


def test_a_recipe_is_written_by_hand_in_a_few_lines(tmp_path: Path) -> None:
    text = 'precision = "int8"\n[[layers]]\npattern = "head.*"\nprecision = "fp32"\n'
    recipe = load_recipe(write(tmp_path, text))
    assert recipe == Recipe(Precision.INT8, (LayerRule("head.*", Precision.FP32),))


def test_the_first_matching_rule_decides_and_must_match_the_whole_path() -> None:
    recipe = Recipe(Precision.INT8, (LayerRule("head", Precision.FP32), LayerRule("head.*", Precision.FP16)))
    assert recipe.precision_of("head") is Precision.FP32
    assert recipe.precision_of("head.0") is Precision.FP16
    assert recipe.precision_of("body.head") is Precision.INT8


def test_by_default_gptq_is_for_four_bits_alone(tmp_path: Path) -> None:
    usual = load_recipe(write(tmp_path, 'precision = "int4"\n'))
    asked = {precision: usual.rounding_of(precision) for precision in Precision}
    assert asked.pop(Precision.INT4) is Rounding.GPTQ
    assert asked.pop(Precision.FP32) is asked.pop(Precision.FP16) is None
    assert set(asked.values()) == {Rounding.NEAREST}


@pytest.mark.parametrize("rounding", [Rounding.NEAREST, Rounding.GPTQ])
def test_a_recipe_that_names_a_rounding_has_it_in_every_integer_precision(rounding: Rounding, tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, f'rounding = "{rounding}"\n'))
    assert {recipe.rounding_of(precision) for precision in (Precision.INT4, Precision.INT8)} == {rounding}
    assert recipe.rounding_of(Precision.FP32) is None


REFUSED = {
    'precison = "int8"': (r"holds precison, which it cannot", "known: precision, layers"),
    'precision = "int9"': (r"precision: Input should be 'fp32', 'fp16', 'int8'", "docs/formats.md"),
    '[[layers]]\npattern = "a"\nprecision = "int9"': (r"layers.0.precision: Input should be 'fp32'", "docs/formats.md"),
    '[[layers]]\npattern = "a"\nprecision = "int8"\nbits = 4': (r"layers holds bits, which", "known: pattern"),
    '[[layers]]\npattern = "a"': (r"layers.0.precision: Field required", "docs/formats.md"),
    '[[layers]]\npattern = "(a"\nprecision = "int8"': (r"layer pattern '\(a' is not a regular expression", "fullmatch"),
    "layers = 3": (r"layers is no list", "[[layers]], in two brackets"),
    '[layers]\npattern = "a"\nprecision = "int8"': (r"layers is no list", "[[layers]], in two brackets"),
    'repairs = "smoothquant"': (r"repairs is no list", 'repairs = ["smoothquant"]'),
    'layers = ["head"]': (r"layers holds 'head', which it cannot", "known: pattern, precision"),
    "group_size = 0": (r"group_size is 0", "1 or more"),
    "group_size = true": (r"group_size: Input should be a valid integer", "docs/formats.md"),
    'group_size = "32"': (r"group_size: Input should be a valid integer", "docs/formats.md"),
    'int8_io = "yes"': (r"int8_io: Input should be a valid boolean", "docs/formats.md"),
    "calibration_samples = 0": (r"calibration_samples is 0", "1 or more"),
    'rounding = "up"': (r"rounding: Input should be 'nearest', 'gptq' or 'auto'", "docs/formats.md"),
    'ranges = "widest"': (r"ranges: Input should be 'mean', 'minmax', 'percentile' or 'mse'", "docs/formats.md"),
    'repairs = ["polish"]': (
        r"repairs.0: Input should be 'smoothquant', 'equalization' or 'bias_correction'",
        "docs/formats.md",
    ),
    "precision = int8": (r"could not be read: .*line 1", "TOML"),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_no_recipe_knows_is_refused(text: str, tmp_path: Path) -> None:
    message, hint = REFUSED[text]
    with pytest.raises(UsageError, match=message) as caught:
        load_recipe(write(tmp_path, text))
    assert hint in caught.value.hint


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"recipe .*none\.toml could not be read: .*No such file"):
        load_recipe(tmp_path / "none.toml")
