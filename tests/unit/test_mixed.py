"""``mixed``: from plain int8, modules are put in float in the order of their worth until the budget holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ashore
from ashore import AccuracyError, ModelSource, UnsupportedModel, UsageError
from ashore.errors import LoweringFailed
from ashore.pipeline.blocks import all_but, blocks_of
from ashore.pipeline.recipes import load_recipe
from commands import Command
from fakes import FakeConverter

NET = """
import torch
layers = torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(3)))
from ashore import ModelSource
torch.manual_seed(0)
samples = [torch.randn(1, 4) for _ in range(8)]
model = ModelSource(layers, (samples[0],), "net", calibration=samples[:4], evaluation=samples[4:], labels=tuple("abcd"))
"""


def _source(**options: Any) -> ModelSource:
    torch.manual_seed(1)
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)), nn.Linear(4, 8))
    nn.init.zeros_(model[3].bias)  # else every sample has the same best class
    samples = [torch.randn(1, 4) for _ in range(12)]
    return ModelSource(model, (samples[0],), "net", calibration=samples[:6], evaluation=samples[6:], **options)


def _mixed(folder: Path, source: ModelSource | None = None, **budget: Any) -> ashore.Artifact:
    return ashore.convert(source or _source(), to=["fake"], precisions=["mixed"], output=folder, **budget)[0]


def _kept(artifact: ashore.Artifact) -> list[str]:
    assert artifact.manifest is not None and artifact.manifest.mixed is not None
    return [step.kept for step in artifact.manifest.mixed]


def test_the_layer_that_pays_best_is_kept_first_and_no_more_than_needed(fakes: dict, tmp_path: Path) -> None:
    # Layer 3 makes as much noise as layer 1 and costs twice as much; layer 1 alone is not enough.
    fakes["fake"].int8_noise = {"0": 0.001, "1": 0.2, "2": 0.002, "3": 0.2}
    artifact = _mixed(tmp_path, min_sqnr_db=25.0)
    assert _kept(artifact) == ["", "1", "3"]
    assert artifact.manifest is not None and artifact.manifest.parity.sqnr_db >= 25
    curve = artifact.manifest.mixed
    assert curve is not None
    assert [round(step.float_weights, 3) for step in curve] == [0, 0.2, 0.6]
    assert curve[0].sqnr_db < curve[1].sqnr_db < 25 <= curve[2].sqnr_db


def test_a_file_without_classes_is_read_again_as_it_was_written(fakes: dict, tmp_path: Path) -> None:
    fakes["fake"].int8_noise = {"1": 0.2}
    artifact = _mixed(tmp_path, min_sqnr_db=25.0)
    assert artifact.manifest is not None and artifact.manifest.mixed is not None
    assert artifact.manifest.mixed[0].top1_agreement is None
    assert ashore.verify(artifact).artifact.manifest == artifact.manifest


def test_where_int8_is_within_the_budget_nothing_is_searched(fakes: dict, tmp_path: Path) -> None:
    fakes["fake"].int8_noise = {"1": 0.001}
    assert _kept(_mixed(tmp_path)) == [""]


def test_what_plain_int8_keeps_in_float_is_kept_here_too(fakes: dict, tmp_path: Path) -> None:
    fakes["fake"].int8_noise = {"0": 5.0, "1": 0.2, "2": 0.1}
    fakes["fake"].float_start = ("0",)
    artifact = _mixed(tmp_path, min_sqnr_db=25.0)
    assert _kept(artifact) == ["", "1", "2"]
    assert artifact.manifest is not None
    assert [rule.pattern for rule in artifact.manifest.recipe.layers] == ["0", "1", "2"]


def test_the_saved_recipe_makes_the_file_again_without_a_search(fakes: dict, tmp_path: Path) -> None:
    fakes["fake"].int8_noise = {"1": 0.2, "2": 0.01}
    first = _mixed(tmp_path / "first", min_sqnr_db=25.0)
    recipe = load_recipe(tmp_path / "first" / "net.fake.mixed.toml")
    assert first.manifest is not None and recipe == first.manifest.recipe
    (again,) = ashore.convert(_source(), to=["fake"], recipe=recipe, output=tmp_path / "again")
    assert again.manifest is not None
    assert again.file.name == "net.fake.mixed.fake" and again.manifest.mixed is None
    assert again.manifest.parity.sqnr_db == first.manifest.parity.sqnr_db


def test_a_bound_on_top1_is_held(fakes: dict, tmp_path: Path) -> None:
    fakes["fake"].int8_noise = {"0": 0.3, "1": 0.6}
    source = _source(labels=tuple("abcdefgh"))
    loose = _mixed(tmp_path / "loose", source, min_sqnr_db=-50, max_top1_drop=100)
    assert loose.manifest is not None and loose.manifest.parity.top1_agreement != 1.0, "else the bound proves nothing"
    strict = _mixed(tmp_path / "strict", source, min_sqnr_db=-50, max_top1_drop=0)
    assert strict.manifest is not None and strict.manifest.parity.top1_agreement == 1.0
    assert _kept(loose) == [""] and len(_kept(strict)) > 1


def test_a_bound_on_a_metric_is_held(fakes: dict, tmp_path: Path) -> None:
    fakes["fake"].int8_noise = {"0": 0.5, "1": 0.01}
    ones = np.ones((1, 4), np.float32)
    right = _source().model(torch.from_numpy(ones)).detach().numpy()  # type: ignore[operator]
    source = _source(evaluate=lambda run: {"closeness": 1 - float(np.abs(run(ones)["output"] - right).max())})
    artifact = _mixed(tmp_path, source, min_sqnr_db=-50, max_metric_drop={"closeness": 0.1})
    assert _kept(artifact) == ["", "0"]
    assert artifact.manifest is not None and artifact.manifest.metrics is not None
    assert artifact.manifest.metrics["closeness"].drop == pytest.approx(0.01, abs=1e-5)


def test_a_budget_that_nothing_holds_says_so(fakes: dict, tmp_path: Path) -> None:
    fakes["fake"].int8_noise = {"elsewhere": 0.5}
    with pytest.raises(AccuracyError, match="even with every block in float the budget does not hold") as caught:
        _mixed(tmp_path / "out", min_sqnr_db=60.0)
    assert "dB SQNR where 60 dB are asked" in caught.value.message and "fp16" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_backend_without_trials_is_refused(fakes: dict, tmp_path: Path) -> None:
    del fakes
    with pytest.raises(UnsupportedModel, match="sham cannot try precisions layer by layer") as caught:
        ashore.convert(_source(), to=["sham"], precisions=["mixed"], output=tmp_path)
    assert "layer rules" in caught.value.hint


@pytest.mark.parametrize(
    ("budget", "message", "hint"),
    [
        ({"max_top1_drop": -1}, "the drop of top-1 agreement allowed is -1", "0 or more"),
        ({"max_metric_drop": {"top1": float("nan")}}, "the drop of top1 allowed is nan", "0 or more"),
        (
            {"max_metric_drop": {"top1": 1.0}},
            "metric 'top1' was given, which the source does not measure",
            "no evaluate",
        ),
        ({"max_top1_drop": 1}, "no output is known to hold the scores of classes", "--max-top1-drop"),
    ],
)
def test_a_wrong_budget_is_told(fakes: dict, tmp_path: Path, budget: dict, message: str, hint: str) -> None:
    del fakes
    with pytest.raises(UsageError) as caught:
        _mixed(tmp_path, **budget)
    assert message in caught.value.message and hint in caught.value.hint


def test_every_precision_is_held_to_the_budget(fakes: dict, tmp_path: Path) -> None:
    fakes["fake"].noise = 0.6
    source = _source(labels=tuple("abcdefgh"))
    with pytest.raises(AccuracyError, match=r"net\.fake\.fp32\.fake: top-1 agreement .* points below 100 %"):
        ashore.convert(source, to=["fake"], output=tmp_path, min_sqnr_db=-50, max_top1_drop=0)


def test_the_command_prints_the_curve_and_saves_the_recipe(fakes: dict, command: Command, tmp_path: Path) -> None:
    fakes["fake"].int8_noise = {"1": 0.3, "2": 0.01}
    (tmp_path / "net.py").write_text(NET)
    words = ("convert", f"{tmp_path / 'net.py'}:model", "--to", "fake", "--precision", "mixed", "-o", tmp_path)
    told = command(*words, "--min-sqnr", 25)
    assert told.code == 0, told.err
    assert "net.fake.mixed.fake: the way to the budget, on calibration samples" in told.out
    assert "(int8)" in told.out and "multiplications in float" in told.out
    assert (tmp_path / "net.fake.mixed.toml").is_file()
    wrong = command(*words, "--max-metric-drop", "top1")
    assert wrong.code == 2 and "--max-metric-drop 'top1' is no NAME=VALUE" in wrong.err


def _pace(artifact: ashore.Artifact) -> list[str]:
    assert artifact.manifest is not None
    return [warning for warning in artifact.manifest.warnings if "fp32" in warning]


def test_a_file_slower_than_fp32_is_told_by_how_much(costs: Any, tmp_path: Path) -> None:
    costs("net.fake.mixed.fake").run_ns, costs("net.fake.fp32.fake").run_ns = 12_500_000, 10_000_000
    (told,) = _pace(_mixed(tmp_path))
    assert told.startswith("is 25% slower than fp32 on this machine at one thread, 12.5 ms against 10 ms: loosen the")
    assert "take fp32 or fp16" in told and "ashore profile" in told
    assert not list(tmp_path.glob("*fp32*")), "the fp32 file was not asked for"


def test_a_gain_within_noise_is_told_too(costs: Any, tmp_path: Path) -> None:
    costs("net.fake.mixed.fake").run_ns, costs("net.fake.fp32.fake").run_ns = 9_800_000, 10_000_000
    (told,) = _pace(_mixed(tmp_path))
    assert told.startswith(
        "gains 2% over fp32, which may be noise, on this machine at one thread, 9.8 ms against 10 ms"
    )


def test_of_a_faster_file_nothing_is_told(costs: Any, tmp_path: Path) -> None:
    costs("net.fake.mixed.fake").run_ns, costs("net.fake.fp32.fake").run_ns = 7_000_000, 10_000_000
    assert _pace(_mixed(tmp_path)) == []
    assert costs("net.fake.mixed.fake").opened[-1] == costs("net.fake.fp32.fake").opened[-1] == (1, False)


def test_an_fp32_file_of_the_same_call_is_not_made_twice(costs: Any, tmp_path: Path) -> None:
    costs("net.fake.mixed.fake").run_ns, costs("net.fake.fp32.fake").run_ns = 12_500_000, 10_000_000
    told: list[str] = []
    mixed, plain = ashore.convert(
        _source(), to=["fake"], precisions=["mixed", "fp32"], output=tmp_path, progress=told.append
    )
    assert [mixed.file.name, plain.file.name] == ["net.fake.mixed.fake", "net.fake.fp32.fake"]
    assert told.index("net.fake.fp32.fake: converting") < told.index("net.fake.mixed.fake: timing it against fp32")
    assert len(_pace(mixed)) == 1 and not _pace(plain)
    assert len(costs("net.fake.fp32.fake").opened) == 2, "judged, then timed"


def _give_up_on(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(self: Any, request: Any, destination: Path, progress: Any) -> Any:
        if f".{precision}." in destination.name:
            raise LoweringFailed("fake gave up on operator 'aten.mm'", "rewrite it")
        return made(self, request, destination, progress)

    made = FakeConverter.convert
    monkeypatch.setattr(FakeConverter, "convert", convert)


def test_where_fp32_cannot_be_timed_the_file_is_kept_and_that_is_told(
    costs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del costs

    _give_up_on("fp32", monkeypatch)
    artifact = _mixed(tmp_path)
    (told,) = _pace(artifact)
    assert artifact.file.is_file()
    assert told == (
        "whether it is faster than fp32 is unknown, as fp32 could not be timed: fake gave up on operator 'aten.mm'"
    )


def test_the_command_warns_of_a_slow_file(costs: Any, command: Command, tmp_path: Path) -> None:
    costs("net.fake.mixed.fake").run_ns, costs("net.fake.fp32.fake").run_ns = 12_500_000, 10_000_000
    (tmp_path / "net.py").write_text(NET)
    told = command(
        "convert", f"{tmp_path / 'net.py'}:model", "--to", "fake", "--precision", "mixed", "-o", tmp_path / "out"
    )
    assert told.code == 0, told.err
    assert "warning: net.fake.mixed.fake: is 25% slower than fp32" in told.err


def _louder_when_judged() -> ModelSource:
    """Noise that breaks the budget on calibration samples is small beside the answers to evaluation samples."""
    return replace(_source(), evaluation=[1000 * sample for sample in _source().evaluation])  # type: ignore[union-attr]


def _told_of_int8(artifact: ashore.Artifact) -> list[str]:
    assert artifact.manifest is not None
    return [warning for warning in artifact.manifest.warnings if "int8" in warning and "fp32" not in warning]


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that the fake backend was asked for."""
    made = FakeConverter.convert
    asked: list[str] = []

    def convert(self: Any, request: Any, destination: Path, progress: Any) -> Any:
        asked.append(destination.name)
        return made(self, request, destination, progress)

    monkeypatch.setattr(FakeConverter, "convert", convert)
    return asked


def test_a_finished_file_that_is_worse_than_int8_is_replaced_by_int8(fakes: dict, tmp_path: Path) -> None:
    fakes["fake"].int8_noise, fakes["fake"].mixing_noise = {"1": 0.2}, 0.4
    int8, mixed = ashore.convert(
        _louder_when_judged(), to=["fake"], precisions=["int8", "mixed"], output=tmp_path, min_sqnr_db=25.0
    )
    assert int8.manifest is not None and mixed.manifest is not None
    assert mixed.manifest.parity == int8.manifest.parity
    assert mixed.manifest.recipe.layers == () and _kept(mixed) == [""]
    (told,) = _told_of_int8(mixed)
    assert told.startswith("is int8 throughout: with modules in float, the finished file came to ")
    assert told.endswith(f" dB SQNR where int8 reaches {int8.manifest.parity.sqnr_db:.2f}")


def test_without_an_int8_file_of_the_same_call_one_is_made_to_compare_and_thrown_away(
    fakes: dict, tmp_path: Path
) -> None:
    fakes["fake"].int8_noise, fakes["fake"].mixing_noise = {"1": 0.2}, 0.4
    artifact = _mixed(tmp_path, _louder_when_judged(), min_sqnr_db=25.0)
    assert _kept(artifact) == [""] and len(_told_of_int8(artifact)) == 1
    assert not list(tmp_path.glob("*int8*"))
    assert ashore.verify(artifact).passed


@pytest.mark.parametrize("precisions", [["int8", "mixed"], ["mixed"]], ids=["asked for", "made to compare"])
def test_int8_is_made_once_where_mixed_gives_way_to_it(
    fakes: dict, tmp_path: Path, conversions: list[str], precisions: list[str]
) -> None:
    fakes["fake"].int8_noise, fakes["fake"].mixing_noise = {"1": 0.2}, 0.4
    made = ashore.convert(_louder_when_judged(), to=["fake"], precisions=precisions, output=tmp_path, min_sqnr_db=25.0)
    assert sorted(conversions) == ["net.fake.fp32.fake", "net.fake.int8.fake", "net.fake.mixed.fake"]
    assert len({artifact.file.read_bytes() for artifact in made}) == 1
    assert made[-1].manifest is not None and made[-1].manifest.file.name == "net.fake.mixed.fake"
    assert all(ashore.verify(artifact).passed for artifact in made)


def test_a_finished_file_that_breaks_the_budget_gives_way_to_int8_that_keeps_it(fakes: dict, tmp_path: Path) -> None:
    fakes["fake"].int8_noise, fakes["fake"].mixing_noise = {"1": 0.2}, 500.0
    artifact = _mixed(tmp_path, _louder_when_judged(), min_sqnr_db=25.0)
    assert artifact.manifest is not None and artifact.manifest.parity.sqnr_db > 25
    assert _kept(artifact) == [""] and ashore.verify(artifact).passed
    (told,) = _told_of_int8(artifact)
    assert told.startswith(
        "is int8 throughout: with modules in float, the finished file broke the budget, which int8 keeps: "
    )
    assert told.endswith(" dB SQNR where 25 dB are asked")


def test_a_finished_file_that_breaks_the_budget_fails_where_int8_breaks_it_too(fakes: dict, tmp_path: Path) -> None:
    fakes["fake"].int8_noise, fakes["fake"].mixing_noise = {"1": 0.5}, 500.0
    with pytest.raises(AccuracyError, match=r"net\.fake\.mixed\.fake differs too much from PyTorch"):
        _mixed(tmp_path / "out", min_sqnr_db=25.0)
    assert not (tmp_path / "out").exists()


def test_more_is_put_in_float_where_the_finished_file_breaks_the_budget_that_its_trial_kept(
    fakes: dict, tmp_path: Path
) -> None:
    fakes["fake"].int8_noise, fakes["fake"].mixing_noise = {"1": 0.5, "0": 0.0055}, 0.004
    artifact = _mixed(tmp_path, min_sqnr_db=25.0)
    assert _kept(artifact) == ["", "1", "0"]
    assert artifact.manifest is not None and artifact.manifest.parity.sqnr_db > 25
    assert [rule.pattern for rule in artifact.manifest.recipe.layers] == ["1", "0"] and not _told_of_int8(artifact)


def test_a_finished_file_that_is_no_worse_stays_and_nothing_is_told(fakes: dict, tmp_path: Path) -> None:
    fakes["fake"].int8_noise, fakes["fake"].mixing_noise = {"1": 0.2}, 0.1
    artifact = _mixed(tmp_path, _louder_when_judged(), min_sqnr_db=25.0)
    assert _kept(artifact) == ["", "1"] and not _told_of_int8(artifact)


def test_where_int8_breaks_the_budget_what_it_does_better_is_told(fakes: dict, tmp_path: Path) -> None:
    fakes["fake"].int8_noise, fakes["fake"].mixing_noise = {"1": 0.5}, 0.8
    ones = np.ones((1, 4), np.float32)
    right = _source().model(torch.from_numpy(ones)).detach().numpy()  # type: ignore[operator]

    def evaluate(run: Any) -> dict[str, float]:
        noise = float(np.abs(run(ones)["output"] - right).max())
        return {"luck": float(not 0.3 < noise < 0.7)}

    artifact = _mixed(tmp_path, _source(evaluate=evaluate), min_sqnr_db=-50, max_metric_drop={"luck": 0.1})
    assert _kept(artifact) == ["", "1"]
    (told,) = _told_of_int8(artifact)
    assert " dB SQNR where int8 reaches " in told
    assert told.endswith("; but int8 does not keep the budget: luck 0 against PyTorch's 1 where 0.1 may be lost")


def test_an_int8_file_that_cannot_be_made_is_told(fakes: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes["fake"].int8_noise = {"1": 0.2}

    _give_up_on("int8", monkeypatch)
    (told,) = _told_of_int8(_mixed(tmp_path, min_sqnr_db=25.0))
    assert told == (
        "whether int8 would be better is unknown, as it could not be measured: fake gave up on operator 'aten.mm'"
    )


def test_blocks_are_the_finest_division_and_named_by_what_holds_nothing_else() -> None:
    paths = ["stem.0", "stages.0.a.conv", "stages.0.b.conv", "stages.1.a.conv", "head.fc"]
    assert blocks_of(paths, most=5) == ["stem", "stages.0.a", "stages.0.b", "stages.1", "head"]
    assert blocks_of(paths, most=4) == ["stem", "stages.0", "stages.1", "head"]
    assert blocks_of(paths, most=1) == ["stem", "stages", "head"]


def test_all_but_one_are_the_largest_modules_beside_it() -> None:
    paths = ["stem.0", "stages.0.a.conv", "stages.0.b.conv", "stages.1.a.conv", "head.fc"]
    assert all_but("stages.0", paths) == ("stem", "stages.1", "head")
    assert all_but("stages.0.a.conv", paths) == ("stem", "stages.0.b", "stages.1", "head")
