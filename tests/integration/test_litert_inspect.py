"""Reading LiteRT files that ashore made, that others made, and that are damaged."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import ashore
from ashore import ArtifactError
from conversions import noisy_source, to_litert


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An int8 file without its manifest, as it would come from elsewhere."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    made = to_litert(noisy_source(model, (1, 3, 12, 12)), "int8", tmp_path_factory.mktemp("made"))
    bare = tmp_path_factory.mktemp("bare") / "bare.tflite"
    bare.write_bytes(made.file.read_bytes())
    return bare


def test_tensors_operators_delegation_and_where_the_bytes_go(file: Path) -> None:
    contents = ashore.inspect(file).contents
    assert [(spec.name, spec.shape, spec.dtype) for spec in contents.inputs] == [("input", (1, 3, 12, 12), "float32")]
    assert [(spec.name, spec.shape) for spec in contents.outputs] == [("output", (1, 4, 8, 8))]
    assert contents.ops == {"CONV_2D": 2, "TRANSPOSE": 2, "QUANTIZE": 1, "DEQUANTIZE": 1}
    assert (contents.delegation.delegated, contents.delegation.total, contents.delegation.partitions) == (6, 6, 1)
    assert sum(contents.bytes_by_part.values()) == file.stat().st_size
    assert contents.bytes_by_part["weights"] > 8 * 3 * 9 + 4 * 8 * 9


def test_no_torch_is_imported(file: Path) -> None:
    code = f"import ashore, sys; ashore.inspect({str(file)!r}); print('torch' in sys.modules, 'jax' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.strip()) == (0, "False False"), ended.stderr


def test_a_file_of_something_else_is_named_as_such(tmp_path: Path) -> None:
    wrong = tmp_path / "model.tflite"
    wrong.write_bytes(b"PK\x03\x04 a zip archive, not a model")
    with pytest.raises(ArtifactError, match=r"is not a LiteRT file: it has .* where the identifier 'TFL3' belongs"):
        ashore.inspect(wrong)
    wrong.write_bytes(b"TFL")
    with pytest.raises(ArtifactError, match="it has 'only 3 bytes'"):
        ashore.inspect(wrong)


def test_every_truncated_file_is_found(file: Path, tmp_path: Path) -> None:
    whole, cut = file.read_bytes(), tmp_path / "cut.tflite"
    for length in (*range(8, 400, 7), *range(400, len(whole), 97)):
        cut.write_bytes(whole[:length])
        with pytest.raises(ArtifactError, match=f"is damaged: its {length} bytes do not hold the model"):
            ashore.inspect(cut)


def test_damaged_bytes_give_an_error_of_ashore_or_a_reading(file: Path) -> None:
    """Whatever the damage, reading ends soon and never in someone else's exception."""
    from ashore_converters.litert.file import read_graph

    whole, chance = file.read_bytes(), random.Random(0)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 4, 32))):
            damaged[chance.randrange(8, len(whole))] = chance.randrange(256)
        try:
            read_graph(bytes(damaged), "damaged")
            outcomes["read"] += 1
        except ArtifactError as error:
            assert "damaged" in error.message
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 50
