"""What is advised where a file is below its floor."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import ashore
from ashore import AccuracyError, ModelSource, UsageError


class Restless(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(x, 0.5)


def refused(model: torch.nn.Module, folder: Path) -> AccuracyError:
    with pytest.raises(AccuracyError, match=r"tiny\.fake\.fp32\.fake differs too much from PyTorch") as caught:
        ashore.convert(ModelSource(model, (torch.ones(1, 64),), "tiny"), to=["fake"], output=folder)
    return caught.value


def test_random_numbers_in_the_model_are_named_where_they_are_the_cause(fakes: dict, tmp_path: Path) -> None:
    fakes["fake"].noise = 0.5
    assert "PyTorch itself answers otherwise when it is asked again" in refused(Restless(), tmp_path).hint
    assert refused(torch.nn.Identity(), tmp_path).hint.startswith("calibrate on samples like the ones it will meet")


def test_a_bare_module_is_no_source() -> None:
    with pytest.raises(UsageError, match="a Linear was given to convert, which is no source") as caught:
        ashore.convert(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
    assert "ModelSource(model, example_inputs)" in caught.value.hint
