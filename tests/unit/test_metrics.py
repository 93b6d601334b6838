"""A source's own ``evaluate``: what it measures of PyTorch's model and of every finished file."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ashore
from ashore import ManifestInvalid, ModelSource, UsageError
from ashore.pipeline.verify import Evaluation
from ashore.types.source import Run
from commands import Command

SAMPLE = np.array([[1.0, 2.0, 3.0, 4.0]], np.float32)
NET = """
import torch
from ashore import ModelSource

def evaluate(run):
    return {"sum": float(run(torch.ones(1, 4))["output"].sum())}

model = ModelSource(torch.nn.Identity(), (torch.ones(1, 4),), "tiny", evaluate=evaluate)
"""


def _source(evaluate: Callable[[Run], Any], scale: float = 1.0) -> ModelSource:
    linear = torch.nn.Linear(4, 4, bias=False)
    with torch.no_grad():
        linear.weight.copy_(scale * torch.eye(4))
    return ModelSource(linear, (torch.ones(1, 4),), "tiny", evaluate=evaluate)


def _total(run: Run) -> dict[str, float]:
    return {"total": float(run(SAMPLE)["output"].sum())}


def _convert(evaluate: Callable[[Run], Any], folder: Path) -> ashore.Artifact:
    return ashore.convert(_source(evaluate), to=["fake"], output=folder, min_sqnr_db=-200.0)[0]


def test_the_manifest_holds_the_metric_of_pytorch_and_of_the_file(fakes: dict, tmp_path: Path) -> None:
    del fakes
    artifact = _convert(_total, tmp_path)
    assert artifact.manifest is not None and artifact.manifest.metrics is not None
    metric = artifact.manifest.metrics["total"]
    assert (metric.eager, metric.file, metric.drop) == (10.0, 10.0, 0.0)


def test_a_worse_file_shows_as_a_drop(fakes: dict, tmp_path: Path) -> None:
    fakes["fake"].noise = 0.5

    def worst(run: Run) -> dict[str, float]:
        return {"least": float(run(torch.from_numpy(SAMPLE))["output"].min())}

    manifest = _convert(worst, tmp_path).manifest
    assert manifest is not None and manifest.metrics is not None
    assert manifest.metrics["least"].eager == 1.0
    assert abs(manifest.metrics["least"].drop) == pytest.approx(0.5)


def test_verify_evaluates_anew_with_the_source_and_tells_the_old_metrics_without(fakes: dict, tmp_path: Path) -> None:
    del fakes
    calls: list[str] = []

    def counted(run: Run) -> dict[str, float]:
        calls.append("called")
        return _total(run)

    artifact = _convert(counted, tmp_path)
    assert len(calls) == 2, "once for PyTorch, once for the file"
    assert ashore.verify(artifact).metrics == artifact.manifest.metrics
    assert len(calls) == 2
    assert ashore.verify(artifact, source=_source(counted)).metrics == artifact.manifest.metrics
    assert len(calls) == 4


def test_an_evaluation_asks_pytorch_once_for_several_files(fakes: dict, tmp_path: Path) -> None:
    del fakes
    artifact = _convert(_total, tmp_path)
    calls: list[str] = []

    def counted(run: Run) -> dict[str, float]:
        calls.append("called")
        return _total(run)

    evaluation = Evaluation(_source(counted))
    for _ in range(2):
        assert ashore.verify(artifact, source=evaluation).metrics == artifact.manifest.metrics
    assert len(calls) == 3, "once for PyTorch, once for each file"


def test_verify_refuses_another_model(fakes: dict, tmp_path: Path) -> None:
    del fakes
    artifact = _convert(_total, tmp_path)
    with pytest.raises(UsageError, match=r"was not made of source 'tiny': their weights differ") as caught:
        ashore.verify(artifact, source=_source(_total, scale=2.0))
    assert "give the source it was converted from" in caught.value.hint
    silent = ModelSource(torch.nn.Identity(), (torch.ones(1, 4),), "silent")
    with pytest.raises(UsageError, match="source 'silent' has no evaluate"):
        ashore.verify(artifact, source=silent)


def _raises(_run: Run) -> dict[str, float]:
    raise ZeroDivisionError("no samples")


def _exits(_run: Run) -> dict[str, float]:
    raise SystemExit(3)


WRONG: list[tuple[Callable[[Run], Any], str, str]] = [
    (_raises, "evaluate failed on PyTorch: ZeroDivisionError: no samples", "call it by itself"),
    (_exits, "evaluate failed on PyTorch: SystemExit: 3", "call it by itself"),
    (
        lambda _: {"top1": math.nan},
        "returned nan as 'top1' for PyTorch, which is no finite number",
        "over no samples",
    ),
    (lambda _: {"top1": "high"}, "returned 'high' as 'top1' for PyTorch, which is no finite number", "plain numbers"),
    (lambda _: 0.5, "evaluate returned 0.5 for PyTorch, no metric", "mapping from name to number"),
    (lambda _: {}, "evaluate returned {} for PyTorch, no metric", "mapping from name to number"),
    (lambda run: run(np.ones((1, 5), np.float32)), "a sample given to run by evaluate", ""),
]


@pytest.mark.parametrize(("evaluate", "message", "hint"), WRONG)
def test_a_wrong_evaluate_is_told_before_any_file_is_made(
    fakes: dict, evaluate: Callable[[Run], Any], message: str, hint: str, tmp_path: Path
) -> None:
    del fakes
    with pytest.raises(UsageError) as caught:
        _convert(evaluate, tmp_path / "out")
    assert message in caught.value.message and hint in caught.value.hint
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_bound_of_a_metric_that_is_not_there_is_told_before_any_file_is_made(fakes: dict, tmp_path: Path) -> None:
    fakes["fake"].raises = AssertionError("a file was made")
    with pytest.raises(
        UsageError, match="a drop of metric 'top1' was given, which the source does not measure"
    ) as told:
        ashore.convert(_source(_total), to=["fake"], output=tmp_path, max_metric_drop={"top1": 0.1})
    assert told.value.hint == "known: total"


def test_metrics_that_change_their_names_are_refused(fakes: dict, tmp_path: Path) -> None:
    del fakes
    names = iter(["before", "after"])
    with pytest.raises(UsageError, match=r"returned after for tiny\.fake\.fp32\.fake and before for PyTorch"):
        _convert(lambda _: {next(names): 1.0}, tmp_path)


def test_the_commands_show_metrics(fakes: dict, command: Command, tmp_path: Path) -> None:
    del fakes
    (tmp_path / "net.py").write_text(NET)
    net, file = f"{tmp_path / 'net.py'}:model", tmp_path / "tiny.fake.fp32.fake"
    converted = command("convert", net, "--to", "fake", "-o", tmp_path)
    assert converted.code == 0
    assert "evaluate, as the source defines it" in converted.out and "sum" in converted.out
    assert "PyTorch evaluates to sum 4" in converted.err
    assert "sum" in command("inspect", file).out
    (found,) = command("verify", file, "--source", net, "--json").document["verifications"]
    assert found["metrics"] == {"sum": {"eager": 4.0, "file": 4.0}}


def test_a_manifest_with_a_metric_that_is_no_number_is_refused(fakes: dict, tmp_path: Path) -> None:
    from dataclasses import replace

    from ashore.pipeline.manifests import dump_manifest, load_manifest
    from ashore.types.metrics import Metric

    del fakes
    manifest = _convert(_total, tmp_path).manifest
    assert manifest is not None
    spoiled = dump_manifest(replace(manifest, metrics={"top1": Metric(math.inf, 1.0)}))
    with pytest.raises(ManifestInvalid, match="metric"):
        load_manifest(spoiled, "m.json")
