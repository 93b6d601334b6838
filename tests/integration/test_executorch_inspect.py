"""Reading .pte files, whole ones and damaged ones, without torch."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from ashore import ArtifactError
from ashore.types.conversion import Delegation
from ashore_converters.executorch.converter import ExecuTorchConverter
from conversions import noisy_source, to_executorch


class Mixed(nn.Module):
    """Two delegates with an operator between that XNNPACK does not take."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).cumsum(-1))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_executorch(noisy_source(Mixed(), (1, 3, 8, 8)), "fp32", tmp_path_factory.mktemp("files")).file


def test_contents_tell_tensors_operators_and_bytes(file: Path) -> None:
    contents = ExecuTorchConverter().inspect(file)
    assert [(spec.shape, spec.dtype) for spec in contents.inputs] == [((1, 3, 8, 8), "float32")]
    assert [(spec.shape, spec.dtype) for spec in contents.outputs] == [((1, 16, 8, 4), "float32")]
    assert contents.ops["aten::cumsum.out"] == 1
    assert contents.ops["xnnpack:conv2d"] == 1 and contents.ops["xnnpack:fully_connected"] == 1
    assert contents.delegation.partitions == 2
    assert [(op.op, op.count) for op in contents.delegation.undelegated] == [("aten::cumsum.out", 1)]
    assert contents.delegation.total == contents.delegation.delegated + 1
    assert sum(contents.bytes_by_part.values()) == file.stat().st_size
    assert contents.bytes_by_part["delegates' constants"] >= 4 * (16 * 27 + 16 + 4 * 8 + 4)


def test_reading_does_not_import_torch(file: Path) -> None:
    script = (
        "import json, pathlib, sys\n"
        "from ashore_converters.executorch.converter import ExecuTorchConverter\n"
        f"contents = ExecuTorchConverter().inspect(pathlib.Path({str(file)!r}))\n"
        "heavy = {'torch', 'executorch', 'torchao'} & set(sys.modules)\n"
        "print(json.dumps([contents.delegation.partitions, sorted(heavy)]))"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == [2, []]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_an_artifact_error(share: float, file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pte"
    cut.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    with pytest.raises(ArtifactError) as caught:
        ExecuTorchConverter().inspect(cut)
    assert "cut.pte is" in caught.value.message
    assert caught.value.hint


def test_another_kind_of_file_is_named_as_such(tmp_path: Path) -> None:
    other = tmp_path / "notes.pte"
    other.write_text("These are notes and no program at all, although the name of the file says so.")
    with pytest.raises(ArtifactError) as caught:
        ExecuTorchConverter().inspect(other)
    assert "is not an ExecuTorch program: expected the mark ET12" in caught.value.message


def test_a_missing_file_is_an_artifact_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError) as caught:
        ExecuTorchConverter().inspect(tmp_path / "none.pte")
    assert "No such file" in caught.value.message


def test_changed_bytes_never_end_in_anything_but_contents_or_an_artifact_error(file: Path, tmp_path: Path) -> None:
    whole, chance, damaged = file.read_bytes(), random.Random(0), tmp_path / "damaged.pte"
    refused = 0
    for _ in range(400):
        content = bytearray(whole)
        content[chance.randrange(4000)] = chance.randrange(256)
        damaged.write_bytes(content)
        try:
            assert isinstance(ExecuTorchConverter().inspect(damaged).delegation, Delegation)
        except ArtifactError as error:
            refused += "damaged.pte" in error.message
    assert refused > 20
