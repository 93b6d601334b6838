"""Range estimators of static int8: on both backends, named in the manifest, refused where they mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import ashore
from ashore import Manifest, ModelSource, Precision, RangeEstimator, Recipe, UsageError
from commands import Command
from conversions import rounded_relu

BACKENDS = ("executorch", "litert")


SIDE = 48


def net() -> nn.Module:
    """Its scores are never rounded, so that the ranges inside are what counts."""
    torch.manual_seed(0)
    convolutions = (nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU())
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(8 * SIDE**2, 5)).eval()


def pictures(count: int, bright: int) -> list[tuple[torch.Tensor]]:
    """Noise; in the last ``bright`` of them one pixel is far brighter than all others."""
    drawn = torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(count))
    drawn[count - bright :, :, 20, 20] = 60.0
    return [(picture[None],) for picture in drawn]


def source(bright: int = 1, evaluated: int = 0) -> ModelSource:
    """``bright`` of 12 calibration samples and ``evaluated`` of 6 evaluation samples have the bright pixel."""
    drawn = pictures(12, bright)
    return ModelSource(net(), drawn[0], "net", calibration=drawn, evaluation=pictures(6, evaluated))


def converted(made: ModelSource, backend: str, folder: Path, ranges: RangeEstimator) -> Manifest:
    recipe = Recipe(Precision.INT8, ranges=ranges)
    [artifact] = ashore.convert(made, to=[backend], recipe=recipe, output=folder, min_sqnr_db=0)
    assert artifact.manifest is not None and artifact.manifest.recipe.ranges is ranges
    return artifact.manifest


@pytest.mark.parametrize("backend", BACKENDS)
def test_estimators_that_cut_off_outliers_serve_the_other_values_better(backend: str, tmp_path: Path) -> None:
    everything = converted(source(), backend, tmp_path / "minmax", RangeEstimator.MINMAX).parity.sqnr_db
    for ranges in (RangeEstimator.PERCENTILE, RangeEstimator.MSE):
        assert converted(source(), backend, tmp_path / ranges, ranges).parity.sqnr_db > everything + 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_recipe_makes_the_same_file_again(backend: str, tmp_path: Path) -> None:
    once, again = (converted(source(), backend, tmp_path / name, RangeEstimator.MSE) for name in ("once", "again"))
    assert once.file.sha256 == again.file.sha256


@pytest.mark.parametrize("backend", BACKENDS)
def test_by_default_more_than_the_mean_is_kept_where_that_measures_better(backend: str, tmp_path: Path) -> None:
    """A third of the calibration samples is bright, and evaluation is: what the mean cuts off, the scores miss."""
    made = source(bright=4, evaluated=6)
    usual = converted(made, backend, tmp_path / "usual", RangeEstimator.MEAN).parity.sqnr_db
    assert usual > converted(made, backend, tmp_path / "percentile", RangeEstimator.PERCENTILE).parity.sqnr_db + 3
    assert usual > converted(made, backend, tmp_path / "minmax", RangeEstimator.MINMAX).parity.sqnr_db - 1


def test_a_call_without_static_int8_has_no_use_for_an_estimator(tmp_path: Path) -> None:
    recipe = Recipe(ranges=RangeEstimator.MSE)
    with pytest.raises(
        UsageError, match="ranges = 'mse' is for activations of static int8, which fp32, int8-dynamic"
    ) as e:
        ashore.convert(source(), precisions=["fp32", "int8-dynamic"], recipe=recipe, output=tmp_path / "out")
    assert "add --precision int8 or mixed" in e.value.hint
    assert not (tmp_path / "out").exists()


def test_files_beside_static_int8_name_no_estimator_that_they_did_not_use(tmp_path: Path) -> None:
    recipe = Recipe(ranges=RangeEstimator.MSE)
    made = ashore.convert(source(), to=["litert"], precisions=["fp32", "int8"], recipe=recipe, output=tmp_path)
    named = [artifact.manifest.recipe.ranges for artifact in made if artifact.manifest]
    assert named == [RangeEstimator.MEAN, RangeEstimator.MSE]


def test_a_model_with_ranges_of_its_own_has_none_to_estimate(tmp_path: Path) -> None:
    made = ModelSource(rounded_relu(), (torch.randn(1, 4),), "own")
    with pytest.raises(UsageError, match="'own' comes with int8 ranges of its own, so that ranges = 'minmax'"):
        ashore.convert(made, precisions=["int8"], recipe=Recipe(ranges=RangeEstimator.MINMAX), output=tmp_path)


NET = """
import sys
sys.path.insert(0, {tests!r})
from integration.test_int8_ranges import source as model
"""


def test_the_command_takes_an_estimator_by_its_name(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(NET.format(tests=str(Path(__file__).parents[1])))
    words = ("convert", f"{file}:model", "--to", "litert", "--precision", "int8", "-o", tmp_path / "out")
    assert command(*words, "--ranges", "mse").code == 0
    assert '"ranges": "mse"' in (tmp_path / "out/net.litert.int8.json").read_text()
    refused = command(*words, "--ranges", "widest")
    assert refused.code == 2
    assert "there is no range estimator 'widest'" in refused.err
    assert "known: mean, minmax, percentile, mse" in refused.err
