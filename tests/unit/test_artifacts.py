"""Artifacts on disk: everything a manifest vouches for is checked before anybody reads it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ashore
from ashore import Artifact, ArtifactError, ChecksumMismatch, ManifestInvalid, ModelSource, UsageError
from commands import Command

pytestmark = pytest.mark.usefixtures("fakes")


class Net(torch.nn.Module):
    def forward(self, x):
        return x * 2


def convert(folder: Path, name: str = "tiny", **options: object) -> Path:
    source = ModelSource(Net(), (torch.ones(1, 4),), name)
    return ashore.convert(source, to=["fake"], output=folder, **options)[0].file


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return convert(tmp_path / "out")


def parts(model: Path) -> dict[str, Path]:
    return {"file": model, "golden": model.with_suffix(".golden.npz"), "manifest": model.with_suffix(".json")}


def flipped(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x40
    path.write_bytes(data)


def test_an_artifact_is_three_files_that_vouch_for_each_other(model: Path) -> None:
    assert sorted(path.name for path in model.parent.iterdir()) == [
        "tiny.fake.fp32.fake",
        "tiny.fake.fp32.golden.npz",
        "tiny.fake.fp32.json",
    ]
    verification = ashore.verify(model)
    assert verification.passed and verification.identical
    assert verification.artifact.manifest.file.bytes == model.stat().st_size


def test_verify_tells_how_far_a_target_strays_from_the_conversion(model: Path, fakes: Any, command: Command) -> None:
    assert ashore.verify(model).largest_change == 0.0
    fakes["fake"].noise = 0.00025
    verification = ashore.verify(model)
    assert not verification.identical
    assert verification.largest_change == pytest.approx(0.00025, rel=1e-2)
    assert "differs by up to 2.5e-04" in command("verify", model).out


def test_a_golden_file_holds_inputs_and_both_answers(model: Path) -> None:
    with np.load(parts(model)["golden"]) as golden:
        names = sorted(golden.files)
        np.testing.assert_array_equal(golden["3/eager/output"], golden["3/in/x"] * 2)
        np.testing.assert_array_equal(golden["3/file/output"], golden["3/eager/output"])
    assert names == sorted(f"{i}/{part}" for i in range(8) for part in ("in/x", "eager/output", "file/output"))


@pytest.mark.parametrize("part", ["file", "golden", "manifest"])
def test_a_flipped_byte_anywhere_is_found_by_every_use(model: Path, part: str) -> None:
    path = parts(model)[part]
    whole = path.read_bytes()
    for position in {*np.linspace(0, len(whole) - 1, 60, dtype=int).tolist()}:
        flipped(path, position)
        for use in (ashore.verify, ashore.open_session, ashore.inspect):
            with pytest.raises(ArtifactError):
                use(model)
        path.write_bytes(whole)
    assert ashore.verify(model).passed


@pytest.mark.parametrize("part", ["file", "golden", "manifest"])
@pytest.mark.parametrize("position", [0, -1])
def test_commands_on_a_flipped_byte_exit_5(
    model: Path, tmp_path: Path, command: Command, part: str, position: int
) -> None:
    flipped(parts(model)[part], position)
    np.savez(tmp_path / "in.npz", x=np.ones((1, 4), np.float32))
    run = ("run", model, "--inputs", tmp_path / "in.npz", "--output", tmp_path / "answers" / "out.npz")
    for words in (("verify", model), ("verify", model.with_suffix(".json")), ("inspect", model), run):
        outcome = command(*words)
        assert outcome.code == 5, words
        assert outcome.err.startswith("error: ") or "\nerror: " in outcome.err
        assert "hint: " in outcome.err
    assert not (tmp_path / "answers").exists()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, lengthen, empty])
@pytest.mark.parametrize("part", ["file", "golden", "manifest"])
def test_another_length_is_found(model: Path, part: str, damage: Callable[[Path], None]) -> None:
    damage(parts(model)[part])
    with pytest.raises(ManifestInvalid if part == "manifest" else ChecksumMismatch) as caught:
        ashore.verify(model)
    assert parts(model)[part].name in caught.value.message
    assert "convert" in caught.value.hint


def test_a_missing_golden_file_is_named(model: Path) -> None:
    parts(model)["golden"].unlink()
    with pytest.raises(ChecksumMismatch, match=r"tiny\.fake\.fp32\.golden\.npz is missing") as caught:
        ashore.verify(model)
    assert "restore it" in caught.value.hint


def test_a_mismatch_tells_both_digests(model: Path) -> None:
    flipped(model, 5)
    with pytest.raises(ChecksumMismatch, match=r"SHA-256 [0-9a-f]{12}…, expected [0-9a-f]{12}…"):
        ashore.verify(model)


def test_the_manifest_of_another_model_is_refused(model: Path) -> None:
    other = convert(model.parent, "other")
    shutil.copy(parts(other)["manifest"], parts(model)["manifest"])
    with pytest.raises(ManifestInvalid, match=r"vouches for other\.fake\.fp32\.fake \(fake\), not for tiny\.fake"):
        ashore.verify(model)


def test_a_swapped_model_file_is_refused(model: Path) -> None:
    other = convert(model.parent, "other")
    shutil.copy(other, model)
    with pytest.raises(ChecksumMismatch, match="is not the file its manifest vouches for"):
        ashore.open_session(model)


def test_an_artifact_in_hand_is_checked_again(model: Path) -> None:
    artifact: Artifact = ashore.verify(model).artifact
    flipped(model, 100)
    for use in (ashore.verify, ashore.open_session, ashore.inspect):
        with pytest.raises(ChecksumMismatch):
            use(artifact)


def test_a_bare_file_runs_but_cannot_be_verified(model: Path, command: Command, tmp_path: Path) -> None:
    bare = shutil.copy(model, tmp_path / "bare.fake")
    with ashore.open_session(bare) as session:
        assert session.run({"x": np.ones((1, 4), np.float32)})["output"].tolist() == [[2.0] * 4]
    assert ashore.inspect(bare).artifact.manifest is None
    outcome = command("verify", bare)
    assert outcome.code == 2
    assert "bare.fake has no manifest beside it" in outcome.err
    assert "ashore convert" in outcome.err and "bare.json" in outcome.err
    assert "no manifest" in command("inspect", bare).out


def test_the_path_of_the_manifest_does_too(model: Path) -> None:
    assert ashore.verify(parts(model)["manifest"]).artifact.file == model


@pytest.mark.parametrize(
    ("name", "content", "kind", "message"),
    [
        ("none.fake", None, UsageError, "there is no file "),
        ("none.json", None, UsageError, "there is no file "),
        ("model.onnx", b"..", UsageError, "is no model file ashore knows"),
        ("model", b"..", UsageError, "is no model file ashore knows"),
        ("other.json", b"{}", ArtifactError, "is not an ashore manifest"),
        ("other.json", b"[1", ArtifactError, "is not an ashore manifest"),
        ("other.json", b"\xff\xfe", ArtifactError, "is not an ashore manifest"),
    ],
)
def test_what_is_no_artifact_is_refused(tmp_path: Path, name: str, content, kind, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(kind) as caught:
        ashore.inspect(tmp_path / name)
    assert message in caught.value.message
    assert name in caught.value.message
    assert caught.value.hint


def test_a_folder_with_the_ending_of_a_model_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "m.fake").mkdir()
    with pytest.raises(UsageError, match=r"there is no file .*m\.fake"):
        ashore.inspect(tmp_path / "m.fake")


@pytest.mark.parametrize("part", ["file", "golden", "manifest"])
def test_what_the_disk_does_not_give_is_an_artifact_error(model: Path, part: str) -> None:
    path = parts(model)[part]
    path.unlink()
    path.symlink_to("/proc/self/mem")  # a file whose reading fails, for root too
    with pytest.raises(ArtifactError, match=r"cannot be read: Input/output error"):
        ashore.verify(model)
