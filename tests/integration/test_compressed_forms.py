"""Compressed models in the other forms they come in: saved as a program after training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import ashore
from compressed_models import ROWS, samples

_TRAINED = next(row for row in ROWS if row.title == "PT2E, trained (QAT)")


@pytest.mark.filterwarnings("ignore")  # torch and torchao warn of their own deprecations
def test_a_trained_int8_model_saved_as_pt2_keeps_its_scales_on_both(tmp_path: Path) -> None:
    plain, trained = _TRAINED.sources()
    path = tmp_path / "trained.pt2"
    torch.export.save(torch.export.export(trained.model, samples(_TRAINED.shape, 1)[0]), path)
    source = replace(trained, model=torch.export.load(path))
    made = ashore.convert(source, to=["executorch", "litert"], precisions=["int8"], output=tmp_path / "out")
    weights = 4 * sum(parameter.numel() for parameter in plain.model.parameters())
    for artifact in made:
        assert artifact.manifest is not None
        # With scales of its own instead of the trained ones, a file departs from the model as far as int8 from fp32.
        assert artifact.manifest.parity.sqnr_db >= 40
        assert artifact.manifest.file.bytes <= 0.27 * weights
    assert len(made) == 2
