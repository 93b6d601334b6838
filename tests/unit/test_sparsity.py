"""A pruned model's zeros are counted, and the reader of the manifest is told what they are worth."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.utils import parametrizations, prune

import ashore
from ashore import ModelSource
from ashore.sources.prepare import prepare
from ashore.sources.sparsity import zero_share


def pruned(share: float, *, removed: bool) -> torch.nn.Sequential:
    """Two layers of 1600 weights each, the first of them pruned."""
    model = torch.nn.Sequential(torch.nn.Linear(40, 40), torch.nn.Linear(40, 40))
    prune.l1_unstructured(model[0], "weight", share)
    if removed:
        prune.remove(model[0], "weight")
    return model


def test_the_triangle_behind_an_orthogonal_weight_is_none_of_its_zeros() -> None:
    layer = parametrizations.orthogonal(torch.nn.Linear(40, 40))
    assert int((layer.parametrizations.weight.original == 0).sum()) > 700
    assert zero_share(layer) == 0.0


def warnings_of(model: torch.nn.Module) -> tuple[str, ...]:
    samples = [torch.ones(1, 40)]
    return prepare(ModelSource(model, (torch.ones(1, 40),), calibration=samples, evaluation=samples)).warnings


@pytest.mark.parametrize("removed", [False, True], ids=["live mask", "removed"])
def test_zeros_are_told_with_what_they_do_not_buy(removed: bool) -> None:
    (warning,) = warnings_of(pruned(0.8, removed=removed))
    assert warning.startswith("40% of the weights are zero: the file compresses better for download")
    assert "remove whole channels or heads to gain speed" in warning


def test_biases_do_not_count() -> None:
    model = pruned(0.5, removed=True)
    torch.nn.init.zeros_(model[0].bias)
    assert zero_share(model) == 0.25


def test_a_model_that_nobody_pruned_is_not_remarked_on() -> None:
    assert warnings_of(torch.nn.Sequential(torch.nn.Linear(40, 40))) == ()
    assert zero_share(torch.nn.ReLU()) == 0.0


def test_zeros_make_the_download_smaller_and_not_the_file(tmp_path: Path) -> None:
    sizes = []
    for share in (0.0, 0.8):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(256, 256))
        prune.l1_unstructured(model[0], "weight", share)
        (artifact,) = ashore.convert(
            ModelSource(model, (torch.ones(1, 256),)), to=["litert"], output=tmp_path / str(share)
        )
        assert artifact.manifest is not None
        sizes.append(artifact.manifest.file)
    plain, zeros = sizes
    assert zeros.bytes == plain.bytes
    assert plain.compressed_bytes is not None and zeros.compressed_bytes is not None
    assert zeros.compressed_bytes < 0.5 * plain.compressed_bytes
