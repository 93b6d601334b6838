"""Recurrent layers of ONNX files that PyTorch has no operator for, or not in this form: loops on both backends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnx2fx")
pytest.importorskip("onnxruntime")

import ashore
from ashore import Artifact
from ashore.sources import load_source
from onnx_files import recurrent_file

_SIZES = {"batch": 1, "inputs": 32, "hidden": 64, "spread": 0.08}


def made(folder: Path, to: str, *precisions: str, kind: str = "GRU", **options: Any) -> list[Artifact]:
    folder.mkdir(exist_ok=True)
    path = recurrent_file(kind, folder / "net.onnx", **{**_SIZES, **options})
    source = replace(load_source(str(path)), calibration="random")
    return ashore.convert(source, to=[to], precisions=precisions, output=folder)


def operators(artifact: Artifact) -> int:
    assert artifact.manifest is not None
    assert not any("unrolled" in said for said in artifact.manifest.warnings)
    return artifact.manifest.delegation.total


def sqnr_db(artifact: Artifact) -> float:
    assert artifact.manifest is not None
    return artifact.manifest.parity.sqnr_db


@pytest.mark.parametrize("to", ["executorch", "litert"])
def test_a_gru_that_resets_before_its_product_does_not_grow_with_the_sequence(to: str, tmp_path: Path) -> None:
    (short,) = made(tmp_path / "short", to, "fp32", steps=8)
    fp32, dynamic, int8 = made(tmp_path / "long", to, "fp32", "int8-dynamic", "int8", steps=48)
    assert operators(short) == operators(fp32) < 60
    assert dynamic.file.stat().st_size < 0.5 * fp32.file.stat().st_size
    assert int8.file.stat().st_size < 0.5 * fp32.file.stat().st_size
    assert sqnr_db(fp32) > 100
    assert min(sqnr_db(dynamic), sqnr_db(int8)) > 25


@pytest.mark.parametrize("to", ["executorch", "litert"])
def test_both_directions_and_a_state_that_is_given(to: str, tmp_path: Path) -> None:
    (fp32,) = made(tmp_path, to, "fp32", steps=12, direction="bidirectional", directions=2, states=1)
    assert operators(fp32) < 120
    assert sqnr_db(fp32) > 100


@pytest.mark.parametrize("to", ["executorch", "litert"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_weights_behind_dequantize_linear_are_int8_in_a_loop(kind: str, to: str, tmp_path: Path) -> None:
    fp32, dynamic = made(tmp_path, to, "fp32", "int8-dynamic", kind=kind, steps=24, quantized=True)
    assert operators(fp32) < 60
    assert dynamic.file.stat().st_size < 0.5 * fp32.file.stat().st_size
    assert sqnr_db(fp32) > 100
    assert sqnr_db(dynamic) > 25


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("executorch", "the weights for the state are quantized anew by row, those for the input stay in fp32"),
        ("litert", "the weights of recurrent layers stay in fp32"),
    ],
)
def test_what_a_recurrent_layer_is_beside_scales_that_are_kept_is_told(to: str, told: str, tmp_path: Path) -> None:
    (int8,) = made(tmp_path, to, "int8", steps=12, quantized="x too")
    assert int8.manifest is not None
    assert any(said.endswith(told) for said in int8.manifest.warnings)
    assert sqnr_db(int8) > 25
