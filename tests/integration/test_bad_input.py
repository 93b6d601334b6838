"""Wrong calls of ``ashore convert``: each is told with its next step, has its exit code and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from commands import Command, Outcome

MODELS = """
import numpy, torch
from ashore import DynamicDim, ModelSource

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 2)
    def forward(self, x):
        return self.layer(x)

class Log(torch.nn.Module):
    def forward(self, x):
        return x.log()

X = torch.ones(1, 4)
SAMPLES = [numpy.full((1, 4), i, numpy.float32) for i in range(8)]
bare = Net()
model = ModelSource(Net(), (X,), "tiny", calibration=SAMPLES)
uncalibrated = ModelSource(Net(), (X,), "tiny")
no_samples = ModelSource(Net(), (X,), "tiny", calibration=[])
nan_samples = ModelSource(Net(), (X,), "tiny", calibration=[*SAMPLES, SAMPLES[0] * numpy.nan])
wide_samples = ModelSource(Net(), (X,), "tiny", calibration=[numpy.ones((1, 5), numpy.float32)])
double_samples = ModelSource(Net(), (X,), "tiny", calibration=[numpy.ones((1, 4))])
nan_judges = ModelSource(Net(), (X,), "tiny", evaluation=[SAMPLES[0] * numpy.nan])
named_badly = ModelSource(Net(), (X,), "a/b")
log = ModelSource(Log(), (X,), "log")
nothing = ModelSource(torch.nn.Identity(), ("text",), "nothing")

def missing_photos():
    raise FileNotFoundError("photos/3.jpg")

lost_samples = ModelSource(Net(), (X,), "tiny", calibration=missing_photos)

def broken():
    raise ValueError("weights are gone")
"""

CALLS = {
    # words after "convert" -> exit code, message, hint
    "nowhere.py:model": (2, "there is no file nowhere.py", "Python file"),
    "models.py:absent": (2, "there is no 'absent' there", "it has"),
    "models.py:broken": (2, "raised ValueError: weights are gone", "by itself"),
    "models.py:SAMPLES": (2, "is a list, nothing that converts", "ModelSource"),
    "models.py:bare": (2, "is a module without example inputs", "--shape"),
    "models.py:bare --shape x=1x5": (2, "fails in PyTorch on its example inputs (x float32[1, 5])", "--shape"),
    "models.py:bare --shape y=1x4": (2, "missing a required argument: 'x'", "forward takes x"),
    "models.py:bare --shape x=1,4": (2, "is not of the form NAME=1x3x224x224", "x=1x3x224x224"),
    "models.py:bare --shape x=1x4:float": (2, "asks for dtype 'float'", "float32"),
    "models.py:bare --inputs ok.npz --shape x=1x4": (2, "--inputs and --shape were both given", "not both"),
    "models.py:bare --inputs none.npz": (2, "there is no file none.npz", "numpy.savez"),
    "models.py:bare --inputs models.py": (2, "models.py is not an .npz", "numpy.savez"),
    "models.py:bare --inputs objects.npz": (2, "not a readable .npz of plain arrays", "numpy.savez"),
    "models.py:bare --inputs wrong_name.npz": (2, "missing a required argument: 'x'", "forward takes x"),
    "models.py:bare --inputs ok.npz --to nowhere": (2, "there is no backend 'nowhere'", "fake, sham"),
    "models.py:model --precision int9": (2, "there is no precision 'int9'", "int8-dynamic"),
    "models.py:model --precision INT8": (2, "there is no precision 'INT8'", "int8"),
    "models.py:model --precision int8 --name a/b": (2, "'a/b' cannot be the stem of a file", "--name"),
    "models.py:model --name ..": (2, "'..' cannot be the stem of a file", "--name"),
    "models.py:model --name=": (2, "'' cannot be the stem of a file", "--name"),
    "models.py:named_badly": (2, "'a/b' cannot be the stem of a file", "--name"),
    "models.py:model --min-sqnr nan": (2, "not a number", "--min-sqnr 12"),
    "models.py:model --recipe none.toml": (2, "recipe none.toml could not be read", "TOML"),
    "models.py:model --recipe models.py": (2, "recipe models.py could not be read", "TOML"),
    "models.py:model --recipe typo.toml": (2, "holds precison, which it cannot", "known: precision"),
    "models.py:model --recipe stray.toml": (2, "layer rule 'haed.*' matches no layer", "layer"),
    "models.py:uncalibrated --precision int8": (2, "int8 needs calibration samples", "--calibration random"),
    "models.py:model --precision int8 --calibration none": (2, "there is no calibration data at none", "random"),
    "models.py:model --precision int8 --calibration empty": (2, "holds no .npz file", "numpy.savez"),
    "models.py:model --precision int8 --calibration objects.npz": (2, "not a readable .npz", "numpy.savez"),
    "models.py:model --precision int8 --calibration uneven.npz": (2, "disagree on the number of samples", "stack"),
    "models.py:model --precision int8 --calibration flat.npz": (2, "has shape 4, the model takes 1x4", "array[None]"),
    "models.py:model --precision int8 --calibration wrong_name.npz": (2, "names image; the model takes x", "forward"),
    "models.py:no_samples --precision int8": (2, "the calibration set is empty", "32 to 200"),
    "models.py:nan_samples --precision int8": (2, "calibration sample 8: input 'x' holds 4 NaN", "drop the sample"),
    "models.py:wide_samples --precision int8": (2, "has shape 1x5, the model takes 1x4", "preprocess"),
    "models.py:double_samples --precision int8": (2, "is float64, the model takes float32", "astype"),
    "models.py:lost_samples --precision int8": (2, "FileNotFoundError: photos/3.jpg", "by itself"),
    "models.py:nan_judges": (2, "evaluation sample 0: input 'x' holds 4 NaN", "drop the sample"),
    "models.py:log": (2, "PyTorch itself gives NaN", "evaluation samples"),
    "models.py:nothing": (2, "the example inputs hold no tensor", "at least one tensor"),
    "weights.pth": (2, "holds weights without the model's code", "file.py:function"),
    "missing.pt2": (2, "there is no file missing.pt2", "torch.export.save"),
    "models.pt2": (2, "models.pt2 is not a .pt2 archive", "torch.export.save"),
    "hf:empty": (2, "there is no empty/config.json", "save_pretrained"),
    "hf:config_only": (2, "has a config but no *.safetensors weights", "save_pretrained"),
    "model.onnx": (2, "there is no file model.onnx", "torch.onnx.export"),
    "": (2, "none of the known forms", "file.py:name"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that the calls name, and the current one."""
    (tmp_path / "models.py").write_text(MODELS)
    (tmp_path / "models.pt2").write_text(MODELS)
    (tmp_path / "weights.pth").write_bytes(b"\x80\x02}q\x00.")
    (tmp_path / "empty").mkdir()
    (tmp_path / "config_only").mkdir()
    (tmp_path / "config_only" / "config.json").write_text('{"architectures": ["BertModel"]}')
    (tmp_path / "typo.toml").write_text('precison = "int8"')
    (tmp_path / "stray.toml").write_text('[[layers]]\npattern = "haed.*"\nprecision = "fp32"')
    np.savez(tmp_path / "ok.npz", x=np.ones((1, 4), np.float32))
    np.savez(tmp_path / "wrong_name.npz", image=np.ones((3, 1, 4), np.float32))
    np.savez(tmp_path / "objects.npz", x=np.array([{}], dtype=object))
    np.savez(tmp_path / "uneven.npz", x=np.ones((3, 1, 4), np.float32), y=np.ones((2, 1, 4), np.float32))
    np.savez(tmp_path / "flat.npz", x=np.ones((3, 4), np.float32))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in path.parts)


def assert_told(outcome: Outcome, code: int, message: str, hint: str) -> None:
    assert outcome.code == code, outcome.err
    told, _, advice = outcome.err.rpartition("error: ")[2].partition("\n  hint: ")
    assert message in told
    assert hint in advice
    assert "Traceback" not in outcome.err
    assert outcome.out == ""


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize("words", CALLS)
def test_a_wrong_call_is_told_and_leaves_nothing(folder: Path, command: Command, words: str) -> None:
    before = listing(folder)
    to = [] if "--to" in words else ["--to", "fake"]
    outcome = command("convert", *(words.split() or [""]), *to, "-o", "new/deep/out")
    assert_told(outcome, *CALLS[words])
    assert listing(folder) == before


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("models.py/out", "the output folder models.py/out cannot be written: Not a directory"),
        ("models.py", "the output folder models.py cannot be written: File exists"),
        ("/proc/1/ashore", "the output folder /proc/1/ashore cannot be written: "),
        ("/dev/null/out", "the output folder /dev/null/out cannot be written: Not a directory"),
        ("o" * 300, "cannot be written: File name too long"),
    ],
)
def test_a_folder_that_cannot_be_written_is_told_before_the_work(
    folder: Path, command: Command, output: str, message: str
) -> None:
    before = listing(folder)
    outcome = command("convert", "models.py:model", "--to", "fake", "-o", output)
    assert_told(outcome, 2, message, "-o")
    assert "pretending" not in outcome.err
    assert listing(folder) == before


@pytest.mark.usefixtures("fakes")
def test_a_folder_in_the_place_of_a_file_is_told(folder: Path, command: Command) -> None:
    (folder / "out" / "tiny.fake.fp32.json").mkdir(parents=True)
    outcome = command("convert", "models.py:model", "--to", "fake", "-o", "out")
    assert_told(outcome, 2, "out/tiny.fake.fp32.json is a folder, and a file is to go there", "move it away")
    assert listing(folder / "out") == ["tiny.fake.fp32.json"]


def test_what_a_backend_cannot_do_is_told_before_any_work(folder: Path, command: Command, fakes: dict) -> None:
    fakes["sham"].refuses = True
    before = listing(folder)
    outcome = command("convert", "models.py:model", "--to", "fake", "--to", "sham", "-o", "out")
    assert_told(outcome, 3, "sham has no operator for layer '0'", "another backend")
    assert "pretending" not in outcome.err
    assert listing(folder) == before


def test_a_failed_conversion_publishes_none_of_the_files(folder: Path, command: Command, fakes: dict) -> None:
    fakes["sham"].fails = True
    before = listing(folder)
    outcome = command("convert", "models.py:model", "--to", "fake", "--to", "sham", "-o", "out")
    assert_told(outcome, 3, "sham gave up on operator 'aten.mm'", "rewrite it")
    assert "tiny.fake.fp32.fake: comparing with PyTorch" in outcome.err, "the first file was finished"
    assert listing(folder) == before


def test_below_the_floor_nothing_is_published(folder: Path, command: Command, fakes: dict) -> None:
    fakes["fake"].noise = 0.1
    before = listing(folder)
    outcome = command("convert", "models.py:model", "--to", "sham", "--to", "fake", "-o", "out")
    assert_told(outcome, 4, "tiny.fake.fp32.fake differs too much from PyTorch: ", "--min-sqnr")
    for part in ("dB SQNR on output 'output'", "the floor is 60 dB", "nothing was published"):
        assert part in outcome.err
    assert listing(folder) == before


@pytest.mark.parametrize(
    ("spoil", "message"), [("nan", "gives 2 NaN and 0 infinite"), ("inf", "gives 0 NaN and 2 inf")]
)
def test_nan_and_infinity_are_never_published(
    folder: Path, command: Command, fakes: dict, spoil: str, message: str
) -> None:
    fakes["fake"].spoil = spoil
    outcome = command("convert", "models.py:model", "--to", "fake", "-o", "out", "--min-sqnr", "-200")
    assert_told(outcome, 4, f"tiny.fake.fp32.fake {message}", "calibrate")
    assert not (folder / "out").exists()


def test_an_output_of_another_shape_is_never_published(folder: Path, command: Command, fakes: dict) -> None:
    fakes["fake"].spoil = "shape"
    outcome = command("convert", "models.py:model", "--to", "fake", "-o", "out")
    assert_told(
        outcome, 4, "tiny.fake.fp32.fake: output 'output' has shape 1x1 where PyTorch gives 1x2", "dynamic dimension"
    )
    assert not (folder / "out").exists()


def test_an_error_in_json_is_one_document(folder: Path, command: Command, fakes: dict) -> None:
    fakes["fake"].prints = "noise of a library\n"
    fakes["fake"].fails = True
    outcome = command("convert", "models.py:model", "--to", "fake", "-o", "out", "--json")
    assert outcome.document["error"] == {
        "type": "LoweringFailed",
        "message": "fake gave up on operator 'aten.mm'",
        "hint": "rewrite it",
        "exit_code": 3,
    }
    assert not (folder / "out").exists()
