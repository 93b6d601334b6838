"""``file.pt2``: programs of torch.export, with their own examples and dynamic dimensions."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.export import Dim

from ashore import DynamicDim, ModelSource, UsageError
from ashore.sources import load_source
from ashore.sources.eager import run_eager
from ashore.sources.prepare import PreparedSource, prepare


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)

    def forward(self, x, bias=None):
        y = self.layer(x)
        return {"scores": y if bias is None else y + bias, "sum": y.sum(-1)}


def saved(path: Path, *args: torch.Tensor, net: torch.nn.Module | None = None, **options: object) -> Path:
    torch.export.save(torch.export.export((net or Net()).eval(), args, **options), path)
    return path


def prepared(path: Path, **options: object) -> PreparedSource:
    return prepare(load_source(str(path), **options))


def test_a_saved_program_is_a_model_with_its_example(tmp_path: Path) -> None:
    net, x = Net(), torch.randn(1, 4)
    found = prepared(saved(tmp_path / "tiny.pt2", x, net=net))
    assert found.source.name == "tiny"
    assert found.record.kind == "exported-program"
    assert found.record.parameters == 10
    assert [(spec.name, spec.shape) for spec in found.inputs] == [("x", (1, 4))]
    assert [(spec.name, spec.shape) for spec in found.outputs] == [("scores", (1, 2)), ("sum", (1,))]
    answer = run_eager(found.model, {"x": x.numpy()}, found.outputs)
    np.testing.assert_allclose(answer["scores"], net(x)["scores"].detach().numpy(), rtol=1e-6)


def test_arguments_by_keyword_keep_their_names(tmp_path: Path) -> None:
    found = prepared(saved(tmp_path / "kw.pt2", torch.ones(1, 4), kwargs={"bias": torch.ones(2)}))
    assert [spec.name for spec in found.inputs] == ["x", "bias"]


def test_a_dynamic_dimension_keeps_its_range(tmp_path: Path) -> None:
    options = {"dynamic_shapes": {"x": {0: Dim("batch", min=2, max=16)}}}
    found = prepared(saved(tmp_path / "batch.pt2", torch.ones(4, 4), **options))
    (dim,) = found.inputs[0].dynamic.values()
    assert (dim.minimum, dim.maximum) == (2, 16)
    assert found.inputs[0].shape == (4, 4)
    assert [set(spec.dynamic) for spec in found.outputs] == [{0}, {0}]
    assert {len(sample["x"]) for sample in found.evaluation} == {2, 4}


def test_an_open_dimension_is_bounded(tmp_path: Path) -> None:
    options = {"dynamic_shapes": {"x": {0: Dim.DYNAMIC}}}
    found = prepared(saved(tmp_path / "open.pt2", torch.ones(4, 4), **options))
    assert found.inputs[0].dynamic[0].maximum == 4096
    assert found.inputs[0].dynamic[0].minimum in (1, 2)  # torch.export takes sizes below 2 for constants


def test_other_values_of_the_example_can_be_given(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=np.full((1, 4), 3, np.float32))
    found = prepared(saved(tmp_path / "tiny.pt2", torch.ones(1, 4)), inputs=tmp_path / "in.npz")
    assert (found.example["x"] == 3).all()


def test_a_program_in_memory_is_a_model() -> None:
    program = torch.export.export(Net().eval(), (torch.ones(1, 4),))
    found = prepare(ModelSource(program, (torch.ones(1, 4),), dynamic_shapes={}))
    assert [spec.name for spec in found.outputs] == ["scores", "sum"]


def test_a_program_without_examples_takes_them_from_the_call(tmp_path: Path) -> None:
    program = torch.export.export(Net().eval(), (torch.ones(1, 4),))
    program.example_inputs = None
    torch.export.save(program, tmp_path / "bare.pt2")
    with pytest.raises(UsageError, match="the program 'bare' carries no example inputs") as caught:
        load_source(str(tmp_path / "bare.pt2"))
    assert "--shape" in caught.value.hint
    assert prepared(tmp_path / "bare.pt2", shapes=("x=1x4",)).outputs[0].shape == (1, 2)


@pytest.mark.parametrize("shape", ["x=1..8x4", "x=1..2x4", "x=3x4"])
def test_sizes_that_the_program_fixes_otherwise_are_refused(tmp_path: Path, shape: str) -> None:
    path = saved(tmp_path / "fixed.pt2", torch.ones(2, 4))
    with pytest.raises(UsageError, match="input 'x' of the program has the fixed size 2 in axis 0") as caught:
        prepared(path, shapes=(shape,))
    assert "torch.export.export" in caught.value.hint


def not_a_zip(path: Path) -> None:
    path.write_bytes(b"these are not the bytes of a zip")


def cut_short(path: Path) -> None:
    saved(path, torch.ones(1, 4))
    path.write_bytes(path.read_bytes()[:-200])


def another_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no program")


def a_checkpoint(path: Path) -> None:
    torch.save(Net().state_dict(), path)


@pytest.mark.parametrize(
    ("make", "message", "hint"),
    [
        (not_a_zip, "is not a .pt2 archive", "torch.export.save"),
        (cut_short, "could not be loaded as a torch.export program", "torch.export.save"),
        (another_zip, "could not be loaded as a torch.export program", "torch.export.save"),
        (a_checkpoint, "could not be loaded as a torch.export program", "torch.export.save"),
    ],
)
def test_what_is_no_program_is_refused(tmp_path: Path, make: object, message: str, hint: str) -> None:
    path = tmp_path / "bad.pt2"
    make(path)
    with pytest.raises(UsageError) as caught:
        load_source(str(path))
    assert f"{path} {message}" in caught.value.message
    assert hint in caught.value.hint


class Trap:
    """Pickles to a call that leaves a folder behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.mkdir, (self.path,)


def test_pickled_parts_are_never_run(tmp_path: Path) -> None:
    path, trap = saved(tmp_path / "trap.pt2", torch.ones(1, 4)), tmp_path / "sprung"
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    for name, content in files.items():
        if name.endswith("config.json"):
            files[name] = content.replace(b'"use_pickle": false', b'"use_pickle": true')
        elif "/weights/" in name:
            files[name] = pickle.dumps(Trap(trap))
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with pytest.raises(UsageError, match="carries weights in pickled form, which are not loaded") as caught:
        load_source(str(path))
    assert "torch.export.load(path)" in caught.value.hint
    assert not trap.exists()


def test_dimensions_of_the_source_agree_with_the_programs(tmp_path: Path) -> None:
    options = {"dynamic_shapes": {"x": {0: Dim("batch", min=2, max=16)}}}
    source = load_source(str(saved(tmp_path / "batch.pt2", torch.ones(4, 4), **options)))
    assert {axis: (dim.minimum, dim.maximum) for axis, dim in source.dynamic_shapes["x"].items()} == {0: (2, 16)}
    assert isinstance(source.dynamic_shapes["x"][0], DynamicDim)
