"""The ``ashore`` command: what reaches stdout, what reaches stderr, and with which exit code it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
import torch

import ashore
from ashore import ModelSource
from ashore.cli import cli
from commands import Command

COMMANDS = sorted(cli.commands)
GOLDEN = str(Path(__file__).with_name("golden") / "profile.json")
NET = "import torch\nmodel = (torch.nn.Sequential(torch.nn.Linear(4, 2)), {'input': torch.ones(1, 4)})\n"


@pytest.fixture
def net(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(NET)
    return f"{tmp_path / 'net.py'}:model"


@pytest.fixture
def model(fakes: object, tmp_path: Path) -> Path:
    del fakes
    source = ModelSource(torch.nn.Identity(), (torch.ones(1, 4),), "tiny", labels=("a", "b", "c", "d"))
    return ashore.convert(source, to=["fake"], output=tmp_path / "out")[0].file


def test_the_commands_of_the_design_are_there() -> None:
    assert {"convert", "verify", "run", "inspect", "targets", "doctor"} <= set(COMMANDS)
    assert {"profile", "compare", "history", "diagnose"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_explains_itself(command: Command, name: str, flag: str) -> None:
    outcome = command(name, flag)
    assert outcome.code == 0
    assert outcome.out.startswith(f"Usage: ashore {name}")
    assert (outcome.err, "--json" in outcome.out) == ("", True)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    for parameter in cli.commands[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts}"


def test_help_lists_every_command_in_full(command: Command) -> None:
    outcome = command("--help")
    assert outcome.code == 0
    lines = outcome.out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == COMMANDS
    assert not [line for line in lines if line.endswith("...")]


def test_no_command_shows_the_help(command: Command) -> None:
    assert command() == command("--help")


def test_version(command: Command) -> None:
    assert command("--version").out == f"ashore, version {ashore.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        *(
            ("--help",),
            ("convert", "--help"),
            ("targets",),
            ("targets", "--json"),
            ("doctor",),
            ("inspect", "none.pte"),
        ),
        *(("profile", "--help"), ("profile", "none.pte"), ("compare", GOLDEN, GOLDEN), ("history", "--store", "none")),
    ],
)
def test_what_needs_no_model_never_imports_torch(words: tuple[str, ...]) -> None:
    code = (
        "import sys\nfrom ashore.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'executorch', 'litert_torch', 'tensorflow'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert "heavy: []" in done.stderr


WRONG = [
    (("--colour",), 2, "No such option '--colour'", "ashore --help"),
    (("covert",), 2, "No such command 'covert'", "ashore --help"),
    (("convert",), 2, "Missing argument 'SOURCE'", "ashore convert --help"),
    (("convert", "x.py:m", "--precison", "int8"), 2, "No such option '--precison'", "ashore convert --help"),
    (("convert", "x.py:m", "--min-sqnr", "high"), 2, "'high' is not a valid float", "ashore convert --help"),
    (("verify",), 2, "Missing argument 'ARTIFACTS...'", "ashore verify --help"),
    (("run", "m.fake", "--inputs", "i.npz"), 2, "Missing option '--output'", "ashore run --help"),
    (("inspect", "a", "b"), 2, "unexpected extra argument", "ashore inspect --help"),
    (("inspect", "none.fake"), 2, "there is no file none.fake", "path of a model file"),
    (("verify", "none.fake"), 2, "there is no file none.fake", "path of a model file"),
]


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(("words", "code", "message", "hint"), WRONG)
def test_a_wrong_call_is_told_with_the_next_step(
    command: Command, words: tuple, code: int, message: str, hint: str, as_json: bool
) -> None:
    outcome = command(*words, *(["--json"] if as_json else []))
    assert outcome.code == code
    assert message in outcome.err and hint in outcome.err
    assert "Traceback" not in outcome.err
    if as_json:
        error = outcome.document["error"]
        assert message in error["message"] and hint in error["hint"]
        assert error["exit_code"] == code
    else:
        assert outcome.out == ""


def test_convert_answers_with_a_table_or_one_document(command: Command, fakes: dict, net: str, tmp_path: Path) -> None:
    fakes["fake"].prints = "noise of a library\n"
    words = ("convert", net, "--to", "fake", "-o", tmp_path / "out", "--name", "tiny")
    people = command(*words)
    assert people.code == 0
    assert "tiny.fake.fp32.fake" in people.out and "200.0" in people.out
    assert "noise" not in people.out and "noise of a library" in people.err
    assert "warning: tiny.fake.fp32.fake: fake is not real" in people.err
    assert "tiny.fake.fp32.fake: pretending" in people.err, "every stage is told"
    (artifact,) = command(*words, "--json").document["artifacts"]
    assert artifact["path"] == str(tmp_path / "out" / "tiny.fake.fp32.fake")
    assert artifact["manifest"]["parity"]["sqnr_db"] == 200.0
    assert artifact["manifest"]["schema"] == "ashore.manifest/1"


def test_verify_answers_with_a_table_or_one_document(command: Command, model: Path) -> None:
    people = command("verify", model)
    assert people.code == 0
    assert "passed" in people.out and "bit-identical" in people.out
    (found,) = command("verify", model, "--json").document["verifications"]
    assert found["passed"] is True and found["identical"] is True
    assert found["target"] == "host"
    assert found["parity"]["sqnr_db"] == 200.0


def test_verify_exits_4_where_the_target_computes_something_else(command: Command, model: Path, fakes: dict) -> None:
    fakes["fake"].noise = 1.0
    outcome = command("verify", model, "--json")
    assert outcome.code == 4
    assert outcome.document["verifications"][0]["passed"] is False
    people = command("verify", model)
    assert (people.code, "FAILED: below 60 dB" in people.out) == (4, True)


def test_verify_says_how_nan_failed(command: Command, model: Path, fakes: dict) -> None:
    fakes["fake"].spoil = "nan"
    outcome = command("verify", model)
    assert outcome.code == 4
    assert "FAILED: 8 NaN" in outcome.out


def test_run_writes_outputs_and_tells_their_shapes(command: Command, model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", input=np.full((1, 4), 3, np.float32))
    words = ("run", model, "--inputs", tmp_path / "in.npz", "--output", tmp_path / "new" / "out.npz")
    assert "1x4" in command(*words).out
    document = command(*words, "--json").document
    assert document["outputs"] == {"output": {"shape": [1, 4], "dtype": "float32"}}
    with np.load(tmp_path / "new" / "out.npz") as answers:
        assert answers["output"].tolist() == [[3.0] * 4]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.npz"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--threads", "0"], 2, "0 threads were asked for"),
        (["--target", "phone"], 7, "there is no target 'phone'"),
        (["--target", ""], 7, "there is no target ''"),
        (["--inputs", "none.npz"], 2, "there is no file none.npz"),
        (["--inputs", "{model}"], 2, "is not an .npz"),
        (["--output", "{folder}"], 2, "is a folder, and a file is to go there"),
        (["--output", "{model}/out.npz"], 2, "cannot be written: "),
    ],
)
def test_a_wrong_run_leaves_nothing(
    command: Command, model: Path, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    np.savez(tmp_path / "in.npz", input=np.ones((1, 4), np.float32))
    (tmp_path / "taken").mkdir()
    before = sorted(tmp_path.rglob("*"))
    named = [word.format(model=model, folder=tmp_path / "taken") for word in words]
    given = ("run", model, "--inputs", tmp_path / "in.npz", "--output", tmp_path / "new" / "out.npz")
    outcome = command(*given, *named)
    assert outcome.code == code
    assert message in outcome.err and "hint: " in outcome.err
    assert sorted(tmp_path.rglob("*")) == before


def test_run_names_inputs_that_are_not_the_models(command: Command, model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", image=np.ones((1, 4), np.float32))
    outcome = command("run", model, "--inputs", tmp_path / "in.npz", "--output", tmp_path / "out.npz")
    assert outcome.code == 6
    assert "image" in outcome.err
    assert not (tmp_path / "out.npz").exists()


def test_inspect_tells_manifest_tensors_and_sizes(command: Command, model: Path) -> None:
    people = command("inspect", model)
    assert people.code == 0
    for word in ("fp32", "SQNR 200.0 dB", "1x4", "aten.mm", "3/4", "note: fake is not real"):
        assert word in people.out
    document = command("inspect", model, "--json").document
    assert document["contents"]["inputs"][0]["shape"] == [1, 4]
    assert document["manifest"]["labels"] == ["a", "b", "c", "d"]
    assert document["bytes"] == model.stat().st_size


@pytest.mark.usefixtures("fakes")
def test_targets_tells_what_runs_where(command: Command) -> None:
    (host,) = command("targets", "--json").document["targets"]
    assert (host["id"], host["ready"], host["backends"]) == ("host", True, ["fake", "sham"])
    assert "ready" in command("targets").out


def test_a_defect_says_so_and_shows_its_traceback_on_demand(
    command: Command, fakes: dict, net: str, tmp_path: Path
) -> None:
    fakes["fake"].raises = RuntimeError("out of cheese")
    words = ("convert", net, "--to", "fake", "-o", tmp_path / "out")
    outcome = command(*words)
    assert outcome.code == 1
    assert "RuntimeError: out of cheese" in outcome.err and "--debug" in outcome.err
    assert "Traceback" not in outcome.err
    assert "Traceback" in command(*words, "--debug").err
    assert command(*words, "--json").document["error"]["exit_code"] == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, EOFError])
def test_an_interruption_exits_130(command: Command, fakes: dict, net: str, tmp_path: Path, kind) -> None:
    fakes["fake"].raises = kind()
    outcome = command("convert", net, "--to", "fake", "-o", tmp_path / "out", "--json")
    expected = 130 if kind is KeyboardInterrupt else 1
    assert outcome.code == expected
    assert outcome.document["error"]["exit_code"] == expected
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [("doctor", "--json"), ("targets",), ("--help",)])
def test_a_reader_that_leaves_early_is_no_failure_of_ashore(ashore_script: list[str], words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run([*ashore_script, *words], stdout=pipe, stderr=subprocess.PIPE, text=True)
    assert "Traceback" not in done.stderr and "defect" not in done.stderr


def test_a_full_stdout_is_told(ashore_script: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*ashore_script, "doctor", "--json"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode not in (0, 120)
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_output_to_a_pipe_is_plain_and_wide_enough(ashore_script: list[str]) -> None:
    done = subprocess.run(
        [*ashore_script, "doctor"], capture_output=True, text=True, env={**os.environ, "COLUMNS": "20"}
    )
    assert done.returncode == 0
    assert "\x1b[" not in done.stdout
    assert 'pip install "ashore[executorch]"' in done.stdout or "executorch" in done.stdout


def test_the_module_can_be_run_with_python(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ashore", "doctor", "--json"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["findings"]
