"""Every architecture, on every backend, in fp32 and in the int8 that makes sense for it."""

from __future__ import annotations

from pathlib import Path

import pytest

import ashore
from conformance.zoo import SPECIMENS, Specimen, build

BACKENDS = ("executorch", "litert")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda specimen: specimen.name)
def test_converts_and_verifies(specimen: Specimen, backend: str, tmp_path: Path) -> None:
    artifacts = ashore.convert(build(specimen), to=[backend], precisions=["fp32", specimen.int8], output=tmp_path)

    fp32, int8 = artifacts
    assert fp32.manifest is not None and int8.manifest is not None
    assert fp32.manifest.parity.sqnr_db >= 60
    assert int8.manifest.parity.sqnr_db >= int8.manifest.precision.default_floor_db
    for artifact in artifacts:
        assert ashore.verify(artifact).passed
