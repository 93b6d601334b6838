"""What ``mixed`` and ``diagnose`` rest on: trials say what the finished files then do. On both backends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import ashore
from ashore import LayerRule, ModelSource, Precision, Recipe, UsageError, registry
from ashore.pipeline.diagnosis import diagnose
from ashore.pipeline.recipes import load_recipe
from ashore.report.layers import drawing
from ashore.sources.prepare import prepare
from commands import Command
from conversions import noisy_source

BACKENDS = ("executorch", "litert")
NET = """
import sys
sys.path.insert(0, {tests!r})
from integration.test_layer_trials import source as model
"""


class _Spiky(nn.Module):
    """Two good layers around one whose few huge weights leave the other weights of a channel no levels."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.stem, self.spiky, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 4, 3)
        with torch.no_grad():
            self.spiky.weight[:, 0, 0, 0] = 40.0 * self.spiky.weight.abs().max()
            self.stem.weight[0].zero_()
            self.stem.bias[0] = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.spiky(torch.relu(self.stem(x)))))


def source() -> ModelSource:
    return noisy_source(_Spiky(), (1, 3, 16, 16))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_trial_gives_what_the_file_gives(backend: str, tmp_path: Path) -> None:
    prepared = prepare(source())
    converter = registry.get_converter(backend)
    trial = converter.trial(prepared.request(Recipe(Precision.INT8)), lambda _: None)  # type: ignore[attr-defined]
    assert [layer.path for layer in trial.layers] == ["stem", "spiky", "head"]
    assert [layer.weights for layer in trial.layers] == [216, 576, 288]
    rules = tuple(LayerRule(path, Precision.FP32) for path in ("stem", "spiky"))
    recipe = Recipe(Precision.INT8, rules)
    (artifact,) = ashore.convert(source(), to=[backend], recipe=recipe, output=tmp_path, min_sqnr_db=0)
    sample = prepared.evaluation[0]
    with ashore.open_session(artifact) as session:
        (real,) = session.run(sample).values()
    (tried,) = trial.run(sample, ("stem", "spiky")).values()
    step = abs(real).max() / 127
    assert abs(tried - real).max() <= 2 * step


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_layer_to_blame_is_found_and_kept_in_float(backend: str, tmp_path: Path) -> None:
    (found,) = diagnose(source(), to=[backend])
    worst = min(found.layers, key=lambda layer: layer.alone_db)
    assert worst.path == "spiky" and worst.output is not None
    assert worst.alone_db < 20 < min(layer.alone_db for layer in found.layers if layer.path != "spiky")
    assert found.first_departure == "spiky"
    assert sum(layer.weights for layer in found.layers) == pytest.approx(1)
    (mixed,) = ashore.convert(source(), to=[backend], precisions=["mixed"], output=tmp_path, min_sqnr_db=25)
    assert mixed.manifest is not None and mixed.manifest.mixed is not None
    kept = {step.kept for step in mixed.manifest.mixed} | {rule.pattern for rule in mixed.manifest.recipe.layers}
    assert "spiky" in kept
    assert mixed.manifest.parity.sqnr_db >= 25 > found.chosen_db or "spiky" in mixed.manifest.warnings[0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_saved_recipe_makes_the_same_bytes(backend: str, tmp_path: Path) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    (mixed,) = ashore.convert(source(), to=[backend], precisions=["mixed"], output=first, min_sqnr_db=25)
    recipe = load_recipe(mixed.file.with_suffix(".toml"))
    (repeated,) = ashore.convert(source(), to=[backend], recipe=recipe, output=again, min_sqnr_db=25)
    assert repeated.file.read_bytes() == mixed.file.read_bytes()


def test_the_command_tells_shows_and_draws(command: Command, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET.format(tests=str(Path(__file__).parents[1])))
    net, plot = f"{tmp_path / 'net.py'}:model", tmp_path / "layers.svg"
    told = command("diagnose", net, "--to", "litert", "--plot", plot)
    assert told.code == 0, told.err
    assert "net in int8 on litert, layer by layer" in told.out
    assert "most noise: spiky" in told.out and "first output below 20 dB: spiky" in told.out
    assert plot.read_text().startswith("<svg") and "spiky" in plot.read_text()
    (document,) = command("diagnose", net, "--to", "litert", "--json").document["diagnoses"]
    assert document["first_departure"] == "spiky" and len(document["layers"]) == 3
    json.dumps(document, allow_nan=False)


def test_a_file_is_diagnosed_with_its_own_recipe(command: Command, tmp_path: Path) -> None:
    recipe = Recipe(Precision.INT8, (LayerRule("spiky", Precision.FP32),))
    (artifact,) = ashore.convert(source(), to=["litert"], recipe=recipe, output=tmp_path)
    (tmp_path / "net.py").write_text(NET.format(tests=str(Path(__file__).parents[1])))
    net = f"{tmp_path / 'net.py'}:model"
    (document,) = command("diagnose", artifact.file, "--source", net, "--json").document["diagnoses"]
    assert [layer["path"] for layer in document["layers"]] == ["stem", "head"]
    alone = command("diagnose", artifact.file)
    assert alone.code == 2 and "a file no longer knows PyTorch's model" in alone.err and "--source" in alone.err
    twice = command("diagnose", net, "--source", net)
    assert twice.code == 2 and "is no model file" in twice.err


def test_what_cannot_be_diagnosed_is_told(tmp_path: Path) -> None:
    (plain,) = ashore.convert(source(), to=["litert"], precisions=["fp32"], output=tmp_path)
    with pytest.raises(UsageError, match="is fp32, and only static int8 is diagnosed"):
        diagnose(source(), to=["litert"], artifact=plain.file)
    with pytest.raises(UsageError, match=r"names no format that a diagnosis is drawn in"):
        from ashore.report.layers import check_plot

        check_plot(tmp_path / "layers.png")
    assert drawing([]).startswith("<svg")
