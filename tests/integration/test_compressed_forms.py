"""Compressed models in the other forms they come in: saved as a program after training, or held in half precision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import ashore
from compressed_models import ROWS, perceptron, samples
from onnx_files import export

_TRAINED = next(row for row in ROWS if row.title == "PT2E, trained (QAT)")


@pytest.mark.filterwarnings("ignore")  # torch and torchao warn of their own deprecations
def test_a_trained_int8_model_saved_as_pt2_keeps_its_scales_on_both(tmp_path: Path) -> None:
    plain, trained = _TRAINED.sources()
    path = tmp_path / "trained.pt2"
    torch.export.save(torch.export.export(trained.model, samples(_TRAINED.shape, 1)[0]), path)
    source = replace(trained, model=torch.export.load(path), calibration=None)
    made = ashore.convert(source, to=["executorch", "litert"], precisions=["int8"], output=tmp_path / "out")
    weights = 4 * sum(parameter.numel() for parameter in plain.model.parameters())
    for artifact in made:
        assert artifact.manifest is not None
        # With scales of its own instead of the trained ones, a file departs from the model as far as int8 from fp32.
        assert artifact.manifest.parity.sqnr_db >= 40
        assert artifact.manifest.file.bytes <= 0.27 * weights
        assert artifact.manifest.calibration is None
        assert not any("calibrat" in warning for warning in artifact.manifest.warnings)
    assert len(made) == 2


@pytest.mark.filterwarnings("ignore")  # torch and torchao warn of their own deprecations
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_a_model_held_in_half_precision_converts_as_it_comes(half: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.GELU(), torch.nn.Linear(64, 8)).to(half).eval()
    noise = [(sample.to(half),) for (sample,) in samples((4, 64), 40)]
    source = ashore.ModelSource(model, noise[0], "half", calibration=noise[:32], evaluation=noise[32:])
    made = ashore.convert(source, to=["executorch", "litert"], precisions=["fp32", "int8"], output=tmp_path / "out")
    assert len(made) == 4
    for artifact in made:
        assert artifact.manifest is not None
        assert artifact.manifest.inputs[0].dtype == "float32"
        assert artifact.manifest.parity.sqnr_db >= (100 if artifact.manifest.precision == "fp32" else 30)
        assert any("read as float32" in warning for warning in artifact.manifest.warnings)


@pytest.mark.filterwarnings("ignore")  # torch and torchao warn of their own deprecations
@pytest.mark.parametrize("form", ["pt2", "onnx"])
def test_four_bits_for_linear_layers_that_are_no_modules_any_more(form: str, tmp_path: Path) -> None:
    """Saved programs and ONNX files hold operators, where libraries look for modules."""
    torch.manual_seed(0)
    model, example = perceptron(64).eval(), samples((1, 64), 1)[0]
    path = tmp_path / f"net.{form}"
    if form == "pt2":
        torch.export.save(torch.export.export(model, example), path)
    else:
        export(model, path, *example)
    made = ashore.convert(str(path), to=["executorch", "litert"], precisions=["int4"], output=tmp_path / "out")
    weights = 4 * sum(parameter.numel() for parameter in model.parameters())
    assert len(made) == 2
    for artifact in made:
        assert artifact.manifest is not None
        assert artifact.manifest.parity.sqnr_db >= 18
        assert artifact.manifest.file.bytes < 0.25 * weights
        assert artifact.manifest.delegation is not None
        assert artifact.manifest.delegation.delegated == artifact.manifest.delegation.total
