"""Layer rules on LiteRT: which operators they reach, and what is said of those ashore adds by itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import ashore
from ashore import LayerRule, Manifest, ModelSource, Precision, Recipe, UnsupportedModel, UsageError
from conversions import noisy_source, to_litert


class Branches(nn.Module):
    """Two lists whose layers have the same numbers, called outside of the lists, and three layers on one input."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.left = nn.ModuleList([nn.Linear(128, 128) for _ in range(2)])
        self.right = nn.ModuleList([nn.Linear(128, 128) for _ in range(2)])
        self.norm = nn.LayerNorm(128)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        return torch.tanh(self.left[1](x) + self.right[1](x) + self.left[0](x)) + self.right[0](x)


def matrix_bytes(manifest: Manifest, folder: Path) -> int:
    return ashore.inspect(folder / manifest.file.name).contents.bytes_by_part["weights"]


def converted(source: ModelSource, precision: str, folder: Path, *rules: LayerRule) -> Manifest:
    manifest = to_litert(source, precision, folder, Recipe(layers=rules)).manifest
    assert manifest is not None
    return manifest


@pytest.mark.parametrize(
    ("pattern", "layers"), [(r"left\.1", 1), (r"right\.\d", 2), ("left", 2), (r".*", 4), (r"left\.1|right\.0", 2)]
)
def test_a_rule_keeps_just_its_layers_in_float(tmp_path: Path, pattern: str, layers: int) -> None:
    source = noisy_source(Branches(), (3, 7, 128))
    all_int8 = matrix_bytes(converted(source, "int8-dynamic", tmp_path / "int8"), tmp_path / "int8")
    ruled = converted(source, "int8-dynamic", tmp_path, LayerRule(pattern, Precision.FP32))
    added = matrix_bytes(ruled, tmp_path) - all_int8
    assert round(added / (128 * 128 * 3)) == layers


def test_the_first_rule_that_matches_decides(tmp_path: Path) -> None:
    rules = (LayerRule(r"left\.1", Precision.INT4), LayerRule("left", Precision.FP32))
    manifest = converted(noisy_source(Branches(), (3, 7, 128)), "int8-dynamic", tmp_path, *rules)
    kinds = 128 * 128 * (0.5 + 4 + 1 + 1)  # left.1, left.0, and both of right
    assert matrix_bytes(manifest, tmp_path) == pytest.approx(kinds, rel=0.08)


def test_a_rule_for_a_float_file_quantizes_its_layers(tmp_path: Path) -> None:
    source = noisy_source(Branches(), (3, 7, 128))
    manifest = converted(source, "fp32", tmp_path, LayerRule("left.*", Precision.FP16))
    assert matrix_bytes(manifest, tmp_path) == pytest.approx(128 * 128 * (2 * 2 + 2 * 4), rel=0.03)


def test_a_rule_for_what_is_gone_from_the_file_is_refused(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout())
    with pytest.raises(UsageError, match=r"layer rule '1' \(fp32\) matches no layer that is left in the LiteRT file"):
        converted(noisy_source(model, (1, 8)), "int8-dynamic", tmp_path, LayerRule("1", Precision.FP32))


def test_static_int8_cannot_be_a_part_of_a_file_without_ranges(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"layer rule 'left' asks for int8 in a file of int8-dynamic"):
        converted(noisy_source(Branches(), (3, 7, 128)), "int8-dynamic", tmp_path, LayerRule("left", Precision.INT8))


class WildStart(nn.Module):
    """Between the first two layers channels differ a hundredfold, so that one int8 scale for all loses most."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 1, bias=False)
        self.second = nn.Conv2d(8, 32, 3, padding=1, bias=False)
        self.third = nn.Conv2d(32, 128, 3, padding=1)
        self.scores = nn.Linear(128, 10)
        gains = torch.logspace(-1, 1, 8)
        with torch.no_grad():
            self.first.weight.mul_(gains[:, None, None, None])
            self.second.weight.div_(gains[None, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(self.third(self.second(self.first(x)).relu()).relu().mean((2, 3)))


def test_layers_that_ashore_keeps_in_float_are_in_the_recipe_and_the_warnings(tmp_path: Path) -> None:
    manifest = converted(noisy_source(WildStart(), (1, 3, 24, 24)), "int8", tmp_path)
    rules = {rule.pattern: rule.precision for rule in manifest.recipe.layers}
    assert rules["first"] is rules["second"] is Precision.FP32
    assert rules["scores"] is Precision.INT8_DYNAMIC
    assert "third" not in rules
    (said,) = [warning for warning in manifest.warnings if "stay in fp32" in warning]
    found = re.search(r"^(.*) stay in fp32: on \d+ calibration samples that raises SQNR from (.*) to (.*) dB", said)
    assert found and "first" in found[1] and float(found[3]) > float(found[2]) + 1


def test_rules_of_a_finished_file_make_the_same_file_again(tmp_path: Path) -> None:
    source = noisy_source(WildStart(), (1, 3, 24, 24))
    first = converted(source, "int8", tmp_path / "first")
    again = converted(source, "int8", tmp_path / "again", *first.recipe.layers)
    assert [rule.pattern for rule in again.recipe.layers][: len(first.recipe.layers)] == [
        rule.pattern for rule in first.recipe.layers
    ]
    assert again.parity.sqnr_db == pytest.approx(first.parity.sqnr_db, abs=1.0)
