"""What is small and would become large: in the runner's process it meets a limit, in the caller's it is refused."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import psutil
import pytest

import ashore
from ashore import ArtifactError, ChecksumMismatch, ManifestInvalid, ModelSource, UsageError
from ashore.limits import SETTING, memory_limit_bytes
from ashore.sources.arrays import load_arrays, save_arrays
from ashore_runtimes.runner.launch import Launch
from ashore_runtimes.session.answers import Failure
from ashore_runtimes.session.child import Child
from ashore_runtimes.session.faults import reported_error
from ashore_runtimes.wire.frames import Slot
from ashore_runtimes.wire.shared import SharedMemory, anonymous_file
from commands import Command
from hostile.original import Original, seal

HUNGRY = "import sys\nsys.stdin.read(1)\nkept = bytearray(3 << 28)\n"


@pytest.fixture
def original(tmp_path: Path, fakes: dict) -> Original:
    """A whole artifact of the fake backend."""
    assert fakes
    import torch

    class Net(torch.nn.Module):
        def forward(self, x):
            return x * 2

    made = tmp_path / "made"
    ashore.convert(ModelSource(Net(), (torch.ones(1, 4),), "tiny"), to=["fake"], output=made)
    manifest = next(made.glob("*.json"))
    parts = (manifest.with_suffix(suffix).read_bytes() for suffix in (".fake", ".json", ".golden.npz"))
    return Original(manifest.stem, *parts)


def lay_out(folder: Path, original: Original, **parts: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    whole = {"model": original.model, "manifest": original.manifest, "golden": original.golden} | parts
    model = folder / f"{original.stem}.fake"
    model.write_bytes(whole["model"])
    model.with_suffix(".json").write_bytes(whole["manifest"])
    model.with_suffix(".golden.npz").write_bytes(whole["golden"])
    return model


def npz(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def members(original: Original) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(original.golden)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_process_meets_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, "256")
    child = Child(Launch((sys.executable, "-c", HUNGRY), shared=False), "allocating")
    assert psutil.Process(child.process.pid).rlimit(psutil.RLIMIT_DATA)[0] == 256 << 20
    assert psutil.Process(child.process.pid).rlimit(psutil.RLIMIT_CORE)[0] == 0
    child.process.stdin.write(b"x")
    assert child.process.wait(60) == 1
    assert "MemoryError" in child._log.last_words()
    child.end()


def test_the_limit_follows_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SETTING, raising=False)
    assert 1 << 30 <= memory_limit_bytes() <= max(1 << 30, psutil.virtual_memory().total)


@pytest.mark.parametrize("word", ["much", "-1", "0", "1e3", " 12"])
def test_a_limit_that_is_no_number_is_told(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, word)
    with pytest.raises(UsageError, match="it is a whole number of MiB"):
        memory_limit_bytes()


def test_a_zip_bomb_among_golden_samples_is_not_unpacked(tmp_path: Path, original: Original) -> None:
    first = next(name for name in members(original) if "/in/" in name)
    golden = npz(members(original) | {first: b"\x93NUMPY" + bytes(1 << 26)})
    assert len(golden) < 1 << 20
    model = lay_out(tmp_path / "bomb", original, golden=golden, manifest=original.vouching(golden=golden))
    with pytest.raises(
        ArtifactError, match=rf"{first[:-4]}' unpacks to {(1 << 26) + 6} bytes, and it should have \d+ at"
    ):
        ashore.verify(model)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is too small for 8 golden samples"),
        (b"no archive" * 1000, "does not hold its golden samples: File is not a zip file"),
        (npz({f"{index}.npy": b"" for index in range(80)}), r"'0/in/x' is missing"),
    ],
)
def test_what_holds_no_golden_samples_is_told(tmp_path: Path, original: Original, content: bytes, reason: str) -> None:
    model = lay_out(tmp_path / "bad", original, golden=content, manifest=original.vouching(golden=content))
    with pytest.raises(ArtifactError, match=reason) as caught:
        ashore.verify(model)
    assert "convert the model again" in caught.value.hint


@pytest.mark.parametrize(
    ("array", "described"),
    [
        (np.zeros((1, 4), np.float64), r"float64 \[1, 4\]"),
        (np.zeros((2, 4), np.float32), r"float32 \[2, 4\]"),
        (np.full((1, 4), "x"), r"<U1 \[1, 4\]"),
        (np.zeros((1, 4), np.complex64), r"complex64 \[1, 4\]"),
    ],
)
def test_golden_samples_of_another_kind_are_told(
    tmp_path: Path, original: Original, array: np.ndarray, described: str
) -> None:
    file = io.BytesIO()
    np.save(file, array)
    golden = npz(members(original) | {"0/in/x.npy": file.getvalue()})
    model = lay_out(tmp_path / "bad", original, golden=golden, manifest=original.vouching(golden=golden))
    with pytest.raises(ArtifactError, match=rf"holds '0/in/x' as {described}; its manifest describes float32 \[1, 4\]"):
        ashore.verify(model)


def test_golden_samples_swapped_after_the_check_are_noticed(
    tmp_path: Path, original: Original, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ashore.pipeline import artifacts

    model = lay_out(tmp_path / "late", original, golden=npz(members(original)))
    monkeypatch.setattr(artifacts, "_check", lambda *_: None)
    with pytest.raises(ChecksumMismatch, match=r"golden\.npz is not the file its manifest vouches for"):
        ashore.verify(model)


def altered(original: Original, **changes: object) -> bytes:
    fields = original.fields
    for path, value in changes.items():
        place = fields
        *keys, last = path.split("__")
        for key in keys:
            place = place[int(key) if key.isdecimal() else key]
        place[last] = value
    return seal(fields)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"inputs__0__shape": [-1, 4]}, r"describes 'x' with shape \[-1, 4\]"),
        ({"inputs__0__shape": [2**70]}, "describes 'x' with shape"),
        ({"inputs__0__name": "a" * 1001}, "with a name of 1001 characters, where 1000 are allowed"),
        ({"inputs__0__dtype": "float99"}, "with dtype 'float99', which is no type of numbers"),
        ({"inputs__0__dtype": "object"}, "with dtype 'object', which is no type of numbers"),
        ({"inputs__0__quantization": {"scale": 0.0, "zero_point": 0}, "inputs__0__dtype": "int8"}, "with scale 0.0"),
        ({"inputs__0__quantization": {"scale": 1.0, "zero_point": 0}}, "with dtype 'float32', which is not quantized"),
        ({"inputs__0__dynamic": {"7": {"name": "n", "minimum": 1, "maximum": 2}}}, "with sizes 1 to 2 on axis 7"),
        ({"golden__samples": 0}, "tells of 0 golden samples"),
        ({"golden__name": "."}, r"names the file '\.', which is not beside it"),
        ({"golden__name": ""}, "names the file '', which is not beside it"),
        ({"golden__name": "../x.npz"}, "which is not beside it"),
        ({"golden__name": "x" * 256}, "names the file 'xxx+…', which is not beside it"),
        ({"golden__sha256": "0"}, "gives '0' as the SHA-256 of"),
        ({"outputs": []}, "describes 0 outputs"),
        ({"recipe__layers": [{"pattern": "(((", "precision": "fp32"}]}, r"field 'recipe': layer pattern '\(\(\('"),
    ],
)
def test_a_manifest_that_cannot_be_true_is_invalid_however_well_sealed(
    tmp_path: Path, original: Original, changes: dict[str, object], reason: str
) -> None:
    model = lay_out(tmp_path / "forged", original, manifest=altered(original, **changes))
    for use in (ashore.verify, ashore.inspect, ashore.open_session):
        with pytest.raises(ManifestInvalid, match=reason):
            use(model)


@pytest.mark.parametrize("content", [b"[" * 200_000, b'{"a":' * 100_000])
def test_a_manifest_without_an_end_is_told_by_its_own_name_and_the_models(
    tmp_path: Path, original: Original, content: bytes
) -> None:
    model = lay_out(tmp_path / "deep", original, manifest=content)
    with pytest.raises(ManifestInvalid, match="its seal is missing"):
        ashore.verify(model)
    with pytest.raises(ArtifactError, match="is not an ashore manifest"):
        ashore.verify(model.with_suffix(".json"))


def test_what_has_a_manifests_name_is_never_ignored(tmp_path: Path, original: Original) -> None:
    model = lay_out(tmp_path / "odd", original)
    manifest = model.with_suffix(".json")
    for make in (manifest.mkdir, lambda: manifest.symlink_to("nowhere")):
        manifest.unlink() if manifest.is_file() else None
        make()
        with pytest.raises(ManifestInvalid, match=r"tiny\.fake\.fp32\.json is no file"):
            ashore.open_session(model)
        manifest.rmdir() if manifest.is_dir() else manifest.unlink()


@pytest.mark.parametrize("suffix", [".fake", ".golden.npz", ".json"])
def test_a_terabyte_is_refused_by_its_length(tmp_path: Path, original: Original, suffix: str) -> None:
    model = lay_out(tmp_path / "long", original)
    with model.with_suffix(suffix).open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises((ChecksumMismatch, ManifestInvalid), match=r"longer than \d+ bytes|at the most"):
        ashore.verify(model)


def test_outputs_may_have_any_name(tmp_path: Path) -> None:
    arrays = {name: np.arange(3) for name in ("file", "args", "allow_pickle", "a/b", "é")}
    with (tmp_path / "out.npz").open("wb") as file:
        save_arrays(file, arrays)
    read = load_arrays(tmp_path / "out.npz")
    assert list(read) == list(arrays)
    assert all(array.tolist() == [0, 1, 2] for array in read.values())


def test_names_do_not_command_the_terminal(tmp_path: Path, original: Original, command: Command) -> None:
    model = lay_out(tmp_path / "evil", original, manifest=altered(original, inputs__0__name="\x1b]0;owned\x07"))
    shown = command("inspect", model)
    assert shown.code == 0
    assert "\x1b" not in shown.out + shown.err and "\\x1b]0;owned\\x07" in shown.out


def test_a_path_that_is_no_text_is_told_in_one_document(command: Command) -> None:
    outcome = command("inspect", b"\xff\x1b.pte".decode(errors="surrogateescape"), "--json")
    assert outcome.code == 2
    assert outcome.document["error"]["message"].startswith("there is no file \udcff")


def test_an_engine_that_talks_without_end_is_quoted_in_part() -> None:
    error = reported_error(Failure("InvalidModel", "bad operator\n" * 9000), "loading net.tflite with litert", "")
    assert error.message.startswith("loading net.tflite with litert failed: bad operator\nbad operator")
    assert error.message.endswith(" … (115000 more characters)") and len(error.message) < 2200


def test_outputs_without_elements_need_no_memory() -> None:
    fd = anonymous_file("nothing")
    try:
        float32 = np.dtype(np.float32)
        empty, nothing = SharedMemory(fd).arrays([Slot(0, (0, 3)), Slot(0, (2, 0))], [float32, float32])
        assert (empty.shape, nothing.shape) == ((0, 3), (2, 0))
        assert SharedMemory(fd).arrays([], []) == []
        with pytest.raises(ValueError, match="empty file"):
            SharedMemory(fd).arrays([Slot(0, (1,))], [float32])
    finally:
        os.close(fd)
