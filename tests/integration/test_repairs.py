"""Repairs as recipe steps: finished files come closer on both backends, and only what helped is in their recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ashore
from ashore import ModelSource, Recipe, Repair, UsageError, dump_recipe, load_recipe
from ashore.types.manifest import Manifest
from commands import Command

BACKENDS = ("executorch", "litert")
NOWHERE = "smoothquant is left out: the model has no layers that it could be carried out on"

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and torchao warn of their own deprecations


class Outlying(nn.Module):
    """A norm with two channels far larger than the rest, which two layers read."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.one, self.other = norm, nn.Linear(64, 48), nn.Linear(64, 48)
        self.last = nn.Linear(48, 12)
        with torch.no_grad():
            torch.as_tensor(norm.weight)[[5, 40]] = 60.0

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        scores: Tensor = self.last(self.one(y).tanh() * self.other(y).sigmoid())
        return scores


class Uneven(nn.Module):
    """Between two convolutions, channels whose magnitudes lie two orders apart."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm = nn.Conv2d(3, 16, 3, bias=False), nn.BatchNorm2d(16)
        self.second, self.third = nn.Conv2d(16, 16, 3), nn.Conv2d(16, 8, 1)
        with torch.no_grad():
            factors = torch.logspace(-1, 1, 16)
            self.norm.weight.mul_(factors)
            self.second.weight.div_(factors[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.third(self.second(self.norm(self.first(x)).relu()).relu())
        return scores


class Shifted(nn.Module):
    """Weights a quarter of a step above integers, on inputs that are always positive: the errors add up."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(64, 24), nn.Linear(24, 6)
        with torch.no_grad():
            self.first.weight.copy_((torch.randint(-90, 90, (24, 64)) + 0.25) / 127)
            self.first.weight[:, 0] = 1.0

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.last(self.first(x.square()).sigmoid())
        return scores


def source(model: nn.Module, *shape: int) -> ModelSource:
    generator = torch.Generator().manual_seed(1)
    drawn = [(torch.randn(*shape, generator=generator),) for _ in range(24)]
    return ModelSource(model.eval(), drawn[0], "net", calibration=drawn[:16], evaluation=drawn[16:])


def outlying(norm: type[nn.Module] = nn.RMSNorm) -> ModelSource:
    return source(Outlying(norm(64)), 1, 10, 64)


def uneven() -> ModelSource:
    return source(Uneven(), 1, 3, 12, 12)


def converted(
    made: ModelSource, backend: str, folder: Path, *repairs: Repair, precision: str = "int8", recipe: Any = None
) -> Manifest:
    asked = recipe or Recipe(repairs=repairs)
    [artifact] = ashore.convert(
        made, to=[backend], precisions=[precision], recipe=asked, output=folder, min_sqnr_db=-10
    )
    assert artifact.manifest is not None
    return artifact.manifest


def gain_db(made: ModelSource, backend: str, folder: Path, *repairs: Repair, precision: str = "int8") -> float:
    """Of a finished file in which the repairs were carried out, and told."""
    usual = converted(made, backend, folder / "usual", precision=precision)
    better = converted(made, backend, folder / "better", *repairs, precision=precision)
    assert usual.recipe.repairs == () and better.recipe.repairs == repairs
    for repair in repairs:
        told = [said for said in better.warnings if said.startswith(f"{repair} raises the simulated SQNR from ")]
        assert len(told) == 1 and told[0].endswith("on 4 calibration samples held back: kept")
        assert not any(f"{repair}" in said for said in usual.warnings)
    assert better.file.bytes == pytest.approx(usual.file.bytes, rel=0.02)
    return better.parity.sqnr_db - usual.parity.sqnr_db


@pytest.mark.parametrize("precision", ["int8", "int8-dynamic"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_smoothquant_makes_up_for_outlying_channels_of_a_norm(backend: str, precision: str, tmp_path: Path) -> None:
    assert gain_db(outlying(), backend, tmp_path, Repair.SMOOTHQUANT, precision=precision) > 3


def test_the_weight_of_a_layer_norm_is_smoothed_on_executorch(tmp_path: Path) -> None:
    assert gain_db(outlying(nn.LayerNorm), "executorch", tmp_path, Repair.SMOOTHQUANT) > 3


def test_litert_puts_the_weight_of_a_layer_norm_into_the_layers_behind_where_smoothing_is_lost(tmp_path: Path) -> None:
    manifest = converted(outlying(nn.LayerNorm), "litert", tmp_path, Repair.SMOOTHQUANT)
    assert manifest.recipe.repairs == () and NOWHERE in manifest.warnings


@pytest.mark.parametrize("backend", BACKENDS)
def test_equalization_makes_up_for_uneven_channels_between_convolutions(backend: str, tmp_path: Path) -> None:
    assert gain_db(uneven(), backend, tmp_path, Repair.EQUALIZATION) > 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_bias_correction_makes_up_for_errors_that_add_up(backend: str, tmp_path: Path) -> None:
    assert gain_db(source(Shifted(), 1, 64), backend, tmp_path, Repair.BIAS_CORRECTION, precision="int8-dynamic") > 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_recipe_that_was_carried_out_makes_the_same_file_again(backend: str, tmp_path: Path) -> None:
    asked = (Repair.SMOOTHQUANT, Repair.EQUALIZATION, Repair.BIAS_CORRECTION)
    first = converted(outlying(), backend, tmp_path / "first", *asked)
    assert Repair.SMOOTHQUANT in first.recipe.repairs and Repair.EQUALIZATION not in first.recipe.repairs
    (tmp_path / "again.toml").write_text(dump_recipe(first.recipe))
    again = converted(outlying(), backend, tmp_path / "again", recipe=load_recipe(tmp_path / "again.toml"))
    assert again.recipe.repairs == first.recipe.repairs
    assert again.file.sha256 == first.file.sha256


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_does_not_help_is_left_out_and_told(backend: str, tmp_path: Path) -> None:
    usual = converted(uneven(), backend, tmp_path / "usual")
    asked = converted(uneven(), backend, tmp_path / "asked", Repair.SMOOTHQUANT)
    assert asked.recipe.repairs == () and asked.file.sha256 == usual.file.sha256
    assert NOWHERE in asked.warnings


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_file_of_floats_is_not_repaired_and_says_so(backend: str, tmp_path: Path) -> None:
    manifest = converted(outlying(), backend, tmp_path, Repair.SMOOTHQUANT, precision="fp32")
    assert manifest.recipe.repairs == () and manifest.calibration is None
    assert "repairs are left out (smoothquant): fp32 rounds nothing to integers" in manifest.warnings


def test_without_samples_to_learn_from_and_to_judge_by_repairs_are_refused(tmp_path: Path) -> None:
    made = outlying()
    one = ModelSource(made.model, made.example_inputs, "net", calibration=[made.example_inputs])
    none = ModelSource(made.model, made.example_inputs, "net")
    for given, held in ((one, "1"), (none, "none")):
        with pytest.raises(UsageError) as caught:
            converted(given, "litert", tmp_path, Repair.SMOOTHQUANT, precision="int8-dynamic")
        needed = "to repair by smoothquant needs 2 calibration samples or more"
        assert caught.value.message == f"{needed}, and 'net' has {held}"
        assert "--repair none" in caught.value.hint


def test_the_command_asks_for_repairs_by_name(command: Command, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\nfrom ashore import ModelSource\nx = [(torch.randn(1, 8),) for _ in range(6)]\n"
        "model = ModelSource(torch.nn.Sequential(torch.nn.LayerNorm(8), torch.nn.Linear(8, 4)).eval(), x[0], 'net',\n"
        "    calibration=x)\n"
    )
    (tmp_path / "recipe.toml").write_text('repairs = ["smoothquant"]\n')
    words = ("convert", f"{tmp_path / 'net.py'}:model", "--to", "litert", "--precision", "int8-dynamic", "-o", tmp_path)
    asked = command(*words, "--repair", "smoothquant")
    assert asked.code == 0 and "smoothquant" in asked.out + asked.err
    taken = command(*words, "--recipe", tmp_path / "recipe.toml", "--repair", "none")
    assert taken.code == 0 and "smoothquant" not in taken.out + taken.err
    wrong = command(*words, "--repair", "smoothquant", "--repair", "polish")
    assert wrong.code == 2 and "--repair 'polish' is no repair" in wrong.err
    assert "known: smoothquant, equalization, bias_correction, or none alone" in wrong.err
