"""``file.py:name`` and ``pkg.mod:name``: what a user may write there, and what is said when it is wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ashore import DynamicDim, ModelSource, Preprocess, UnsupportedModel, UsageError
from ashore.sources import load_source
from ashore.sources.prepare import PreparedSource, prepare

MODELS = """
import dataclasses
import torch
from torch import nn
from ashore import DynamicDim, ModelSource

X = torch.ones(1, 4)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
    def forward(self, x):
        return self.layer(x)

class Two(nn.Module):
    def forward(self, a, b, scale=1.0):
        return a + b * scale

@dataclasses.dataclass
class Result:
    scores: torch.Tensor
    box: torch.Tensor

class Detector(Net):
    def forward(self, x):
        return Result(self.layer(x), x * 2)

bare = Net()
pair = (Net(), (X,))
pair_of_one = (Net(), X)
pair_by_name = (Net(), {"x": X})
source = ModelSource(Net(), (X,), name="tiny")
two = ModelSource(Two(), (X, X))
detector = (Detector(), X)
program = torch.export.export(Net().eval(), (X,))

def factory():
    return source

def factory_of_pair():
    return pair

def broken():
    raise ValueError("weights are gone")

def leaves():
    raise SystemExit(3)

def wrong():
    return {"net": 1}

def needs(path):
    return bare

number = 7
"""


@pytest.fixture(autouse=True)
def clean_imports() -> Iterator[None]:
    """Every test imports as a fresh process would."""
    path, modules = list(sys.path), dict(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        if not name.startswith(("torch", "sympy", "numpy")):
            del sys.modules[name]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    path = tmp_path / "models.py"
    path.write_text(MODELS)
    return path


def prepared(spec: str, **options: object) -> PreparedSource:
    return prepare(load_source(spec, **options))


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("source", "tiny"),
        ("factory", "tiny"),
        ("pair", "pair"),
        ("pair_of_one", "pair_of_one"),
        ("pair_by_name", "pair_by_name"),
        ("factory_of_pair", "factory_of_pair"),
        ("program", "program"),
    ],
)
def test_every_form_of_a_model_in_a_file_loads(models: Path, name: str, stem: str) -> None:
    found = prepared(f"{models}:{name}")
    assert found.source.name == stem
    assert [(spec.name, spec.shape, spec.dtype) for spec in found.inputs] == [("x", (1, 4), "float32")]
    assert [spec.shape for spec in found.outputs] == [(1, 2)]


@pytest.mark.parametrize("name", ["bare", "Net"])
def test_a_bare_module_or_its_class_takes_a_shape(models: Path, name: str) -> None:
    found = prepared(f"{models}:{name}", shapes=("x=3x4",))
    assert found.outputs[0].shape == (3, 2)


def test_a_dataclass_of_a_file_gives_its_outputs_their_names(models: Path) -> None:
    assert [spec.name for spec in prepared(f"{models}:detector").outputs] == ["scores", "box"]


def test_a_module_of_a_package_loads_from_the_current_folder(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "shore_package"
    package.mkdir()
    models.rename(package / "nets.py")
    monkeypatch.chdir(tmp_path)
    assert load_source("shore_package.nets:source").name == "tiny"


def test_neighbours_import_at_once_and_from_inside_a_factory(tmp_path: Path) -> None:
    (tmp_path / "neighbour_at_once.py").write_text("SIZE = 4")
    (tmp_path / "neighbour_later.py").write_text("OUT = 2")
    (tmp_path / "user_net.py").write_text(
        "import torch\nimport neighbour_at_once\n"
        "def model():\n    import neighbour_later\n"
        "    net = torch.nn.Linear(neighbour_at_once.SIZE, neighbour_later.OUT)\n    return net, torch.ones(1, 4)\n"
    )
    assert prepared(f"{tmp_path / 'user_net.py'}:model").outputs[0].shape == (1, 2)


def test_a_file_named_like_a_module_of_python_does_not_replace_it(tmp_path: Path) -> None:
    import types

    path = tmp_path / "types.py"
    path.write_text("import torch\nmodel = (torch.nn.ReLU(), torch.ones(1, 4))\n")
    assert load_source(f"{path}:model").name == "model"
    assert sys.modules["types"] is types


def test_a_shape_replaces_one_example_of_several(models: Path) -> None:
    found = prepared(f"{models}:two", shapes=("b=3x4",))
    assert [(spec.name, spec.shape) for spec in found.inputs] == [("a", (1, 4)), ("b", (3, 4))]


def test_a_range_of_sizes_reaches_inputs_and_outputs(models: Path) -> None:
    found = prepared(f"{models}:bare", shapes=("x=1..8x4",))
    assert found.inputs[0].dynamic == found.outputs[0].dynamic == {0: DynamicDim("dim_1_8", 1, 8)}
    assert {sample["x"].shape for sample in found.evaluation} == {(8, 4), (1, 4)}


def test_arrays_of_a_file_are_the_example(models: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=np.full((5, 4), 0.5, np.float32))
    found = prepared(f"{models}:bare", inputs=tmp_path / "in.npz")
    assert found.inputs[0].shape == (5, 4)
    assert (found.example["x"] == 0.5).all()


REFUSED = {
    "nothing.py:model": ("there is no file nothing.py", "a Python file"),
    "models.py:absent": ("'models.py:absent': there is no 'absent' there", "Net"),
    "models.py:": ("there is no '' there", "Net"),
    "models.py:broken": ("'models.py:broken' raised ValueError: weights are gone", "without arguments"),
    "models.py:leaves": ("'models.py:leaves' raised SystemExit: 3", "without arguments"),
    "models.py:needs": ("missing 1 required positional argument: 'path'", "without arguments"),
    "models.py:wrong": ("'models.py:wrong' is a dict, nothing that converts", "(module, example_args)"),
    "models.py:number": ("'models.py:number' is a int, nothing that converts", "ModelSource"),
    "models.py:bare": ("'models.py:bare' is a module without example inputs", "--shape NAME=1x3x224x224"),
    "models.py": ("source 'models.py' has none of the known forms", "models.py:model"),
    "model.h5": ("source 'model.h5' has none of the known forms", "file.onnx"),
    "model.onnx": ("there is no file model.onnx", "torch.onnx.export"),
    "done.tflite": ("source 'done.tflite' has none of the known forms", "ashore inspect done.tflite"),
    "folder": ("source 'folder' has none of the known forms", "hf:folder"),
    "": ("source '' has none of the known forms", "hf:DIR"),
    "no_such_pkg.mod:model": ("importing no_such_pkg.mod failed: ModuleNotFoundError", "install 'no_such_pkg'"),
    ":model": ("importing  failed: ValueError", "by itself"),
    "raises.py:model": ("importing raises.py failed: ZeroDivisionError: division by zero", "by itself"),
    "syntax.py:model": ("importing syntax.py failed: SyntaxError: ", "by itself"),
    "lacks.py:model": ("importing lacks.py failed: ModuleNotFoundError", "install 'no_such_lib'"),
    "exits.py:model": ("importing exits.py failed: SystemExit: 0", "by itself"),
    "weights.pth": ("'weights.pth' holds weights without the model's code", "weights_only=True"),
    "weights.pt": ("'weights.pt' holds weights without the model's code", "file.py:function"),
    "missing.pt2": ("there is no file missing.pt2", "torch.export.save"),
    "hf:missing": ("there is no missing/config.json", "save_pretrained"),
}


@pytest.mark.parametrize("spec", REFUSED)
def test_a_source_that_is_wrong_says_how(spec: str, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = models.parent
    (folder / "folder").mkdir()
    (folder / "raises.py").write_text("1 / 0")
    (folder / "syntax.py").write_text("model = = 1")
    (folder / "lacks.py").write_text("import no_such_lib")
    (folder / "exits.py").write_text("import sys; sys.exit(0)")
    monkeypatch.chdir(folder)
    message, hint = REFUSED[spec]
    with pytest.raises(UsageError) as caught:
        load_source(spec)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_checkpoint_is_never_unpickled(tmp_path: Path) -> None:
    """Loading pickles runs what they say; this one would leave a file behind."""
    trap = tmp_path / "sprung"
    for name in ("trap.pth", "trap.pt"):
        (tmp_path / name).write_bytes(f"cos\nmkdir\n(V{trap}\ntR.".encode())
        with pytest.raises(UsageError, match="holds weights without the model's code"):
            load_source(str(tmp_path / name))
    assert not trap.exists()


def test_an_error_of_ashore_from_a_factory_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(
        "from ashore import UsageError\ndef model():\n    raise UsageError('no weights here', 'fetch them')\n"
    )
    with pytest.raises(UsageError) as caught:
        load_source(f"{path}:model")
    assert (caught.value.message, caught.value.hint) == ("no weights here", "fetch them")


def test_arrays_and_shapes_together_are_refused(models: Path) -> None:
    with pytest.raises(UsageError, match="--inputs and --shape were both given") as caught:
        load_source(f"{models}:bare", inputs=models, shapes=("x=1x4",))
    assert "not both" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "shapes", "message", "hint"),
    [
        ("bare", ("y=1x4",), "the example inputs do not fit the model: missing a required argument: 'x'", "takes x"),
        ("bare", ("x=1x4", "y=1x4"), "got an unexpected keyword argument 'y'", "its forward takes x"),
        ("Two", ("a=1x4",), "missing a required argument: 'b'", "its forward takes a, b, scale=1.0"),
        ("bare", ("x=1x5",), "the model fails in PyTorch on its example inputs (x float32[1, 5])", "--shape"),
        ("bare", ("x=1x4:int64",), "the model fails in PyTorch on its example inputs (x int64[1, 4])", "--inputs"),
    ],
)
def test_examples_that_do_not_fit_are_refused_by_name(
    models: Path, name: str, shapes: tuple[str, ...], message: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        prepared(f"{models}:{name}", shapes=shapes)
    assert message in caught.value.message
    assert hint in caught.value.hint


class Identity(torch.nn.Module):
    def forward(self, x):
        return x


class Returning(torch.nn.Module):
    def __init__(self, result):
        super().__init__()
        self.result = result

    def forward(self, x):
        del x
        return self.result


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "the model returns no tensor"),
        ((), "the model returns no tensor"),
        (3.0, "the model returns a float, which holds no plain tensors"),
        ({"a": {"b": "text"}}, "the model returns a str at 'a_b', which holds no plain tensors"),
        (torch.ones(1, dtype=torch.bfloat16), "output 'output' is bfloat16, which no backend takes or gives"),
        (torch.ones(1, dtype=torch.complex64), "output 'output' is complex64, which no backend takes or gives"),
    ],
)
def test_results_that_no_file_can_give_are_refused(result: object, message: str) -> None:
    with pytest.raises(UnsupportedModel) as caught:
        prepare(ModelSource(Returning(result), (torch.ones(1),)))
    assert message in caught.value.message
    assert caught.value.hint


def test_an_input_no_backend_takes_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="input 'x' is bfloat16") as caught:
        prepare(ModelSource(Identity(), (torch.ones(1, dtype=torch.bfloat16),)))
    assert "model.float()" in caught.value.hint


def test_an_example_with_nan_is_refused() -> None:
    with pytest.raises(UsageError, match=r"an example input of shape \[1, 2\] holds NaN") as caught:
        prepare(ModelSource(Identity(), (torch.tensor([[1.0, float("nan")]]),)))
    assert "torch.empty" in caught.value.hint


def test_a_model_that_gives_nan_itself_cannot_be_judged() -> None:
    class Log(torch.nn.Module):
        def forward(self, x):
            return x.log()

    found = prepare(ModelSource(Log(), (torch.ones(1, 4),)))
    with pytest.raises(UsageError, match=r"PyTorch itself gives NaN in \d of 4 values of output 'output'") as caught:
        _ = found.reference
    assert "evaluation samples" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dynamic_shapes": {"y": {0: DynamicDim("n", 1, 8)}}}, "dynamic_shapes names y; the model takes x"),
        ({"layouts": {"image": "NCHW"}}, "layouts names image; the model takes x"),
        ({"dynamic_shapes": {"x": {0: 8}}}, "dynamic_shapes gives a int for axis 0 of 'x'"),
        ({"dynamic_shapes": {"x": {2: DynamicDim("n", 1, 8)}}}, "dynamic_shapes names axis 2 of 'x'"),
        ({"dynamic_shapes": {"x": {0: DynamicDim("n", 2, 8)}}}, "size 1 in axis 0 of 'x', outside of 2..8"),
    ],
)
def test_descriptions_of_what_is_not_there_are_refused(options: dict, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        prepare(ModelSource(Identity(), (torch.ones(1, 4),), **options))
    assert message in caught.value.message
    assert caught.value.hint


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(UsageError, match="source 'model' holds a dict, not a model"):
        prepare(ModelSource({}, (torch.ones(1),)))


def test_a_single_example_need_not_be_wrapped() -> None:
    assert prepare(ModelSource(Identity(), torch.ones(1, 4))).inputs[0].shape == (1, 4)


def test_the_users_model_stays_as_it_was() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout()).train()
    found = prepare(ModelSource(net, (torch.ones(1, 4),)))
    assert net.training and net[1].training
    assert not any(module.training for module in found.model.modules())


def test_lists_of_image_libraries_become_tuples_of_plain_numbers() -> None:
    preprocess = Preprocess(resize=[224, 224], mean=np.array([0.5, 0.25], np.float32), std=[1, 1])
    assert preprocess == Preprocess((224, 224), (0.5, 0.25), (1.0, 1.0))
    assert ModelSource(Identity(), (torch.ones(1),), labels=["cat", "dog"]).labels == ("cat", "dog")


def test_an_input_that_the_model_changes_is_changed_in_a_copy_alone() -> None:
    class Adds(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            x += 1
            return x + y

    given = torch.ones(1, 4)
    prepared = prepare(ModelSource(Adds(), (given, torch.ones(1, 4))))
    assert prepared.example["x"] == pytest.approx(1) and given.equal(torch.ones(1, 4))
    graph = torch.export.export(prepared.model, prepared.model.example)
    assert not graph.graph_signature.user_inputs_to_mutate, "else ExecuTorch makes an output of it"
