"""Pushes to a device that fail: each ends in its own error, nothing half-written is trusted, and the next run works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from ashore import registry
from ashore.errors import ChecksumMismatch, DeviceTimeout, TransferFailed
from ashore.types.artifact import Artifact
from ashore_runtimes.android import client as adb_client
from device import Phone
from edges import affine_manifest
from phones import eventually, failure, models, parts, target_id, use

pytestmark = pytest.mark.usefixtures("nothing_left_running")


def test_a_full_disk(phone: Phone, file: Path) -> None:
    phone.faults.free_bytes = 100
    error = failure(TransferFailed, lambda: use(phone, file))
    assert error.message == f"pushing turn.pte failed: no space is left on {phone.serial}"
    assert f"ashore targets --clean adb:{phone.serial}" in error.hint
    assert parts(phone) == models(phone) == []
    phone.faults.clear()
    use(phone, file)


def test_a_connection_that_breaks_in_the_middle_of_a_push(phone: Phone, file: Path) -> None:
    phone.faults.cut_push_after = 100
    error = failure(TransferFailed, lambda: use(phone, file))
    assert error.message == f"the connection to {phone.serial} broke off while pushing turn.pte"
    assert "cable" in error.hint
    assert [name for name in models(phone) if ".part-" not in name] == []
    phone.faults.clear()
    use(phone, file)


def test_a_bundle_that_was_cut_short_is_never_started(strange: Callable[..., Phone], tiny_files: Path) -> None:
    fresh = strange()
    fresh.faults.cut_push_after = 500_000
    error = failure(TransferFailed, lambda: use(fresh, tiny_files / "turn.pte"))
    assert error.message.endswith("broke off while pushing the runner")
    assert not any("exec ./ld-linux" in command for command in fresh.commands)
    fresh.faults.clear()
    use(fresh, tiny_files / "turn.pte")
    assert parts(fresh) == []


def test_a_push_that_stalls_is_given_up_at_the_limit(phone: Phone, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adb_client, "PUSH_LIMIT_S", 1.0)
    phone.faults.stall_push_after = 100
    error = failure(DeviceTimeout, lambda: use(phone, file))
    assert error.message.startswith(f"pushing turn.pte to {phone.serial} took longer than the limit of 1")
    assert parts(phone) == models(phone) == []
    monkeypatch.undo()
    phone.faults.clear()
    use(phone, file)


def test_what_arrives_altered_is_refused(phone: Phone, file: Path) -> None:
    phone.faults.damage_pushed = "/models/"
    error = failure(TransferFailed, lambda: use(phone, file))
    assert error.message == f"pushing turn.pte failed: what arrived on {phone.serial} differs from what was sent"
    assert parts(phone) == models(phone) == []
    phone.faults.clear()
    use(phone, file)


def test_a_phone_that_cannot_hash_is_checked_by_size(phone: Phone, file: Path) -> None:
    phone.faults.without = ("sha256sum",)
    use(phone, file)
    assert len(models(phone)) == 1


@pytest.fixture
def vouched(phone: Phone, file: Path, tiny_files: Path) -> Artifact:
    """A model with a manifest, whose hash the runner is told; the phone has yet to be given it."""
    del phone, file
    model = tiny_files / "affine.pte"
    manifest = affine_manifest("executorch")
    record = replace(manifest.file, sha256=sha256(model.read_bytes()).hexdigest())
    return Artifact(model, "executorch", replace(manifest, file=record))


def test_storage_that_lies_is_found_out_by_the_runner(phone: Phone, vouched: Artifact) -> None:
    """Without sha256sum, only the runner, which is told the hash, can see that the bytes are others."""
    phone.faults.without = ("sha256sum",)
    phone.faults.damage_pushed = "/models/"
    error = failure(TransferFailed, lambda: open_only(phone, vouched))
    assert error.message == f"affine.pte reads differently on {phone.serial} from what was pushed, twice"
    assert "storage" in error.hint and models(phone) == []
    phone.faults.clear()
    open_only(phone, vouched)


def test_a_model_that_decayed_on_the_device_is_pushed_again(phone: Phone, vouched: Artifact) -> None:
    open_only(phone, vouched)
    (name,) = models(phone)
    kept = phone.store / "ashore/models" / name
    content = kept.read_bytes()
    kept.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    open_only(phone, vouched)
    assert kept.read_bytes() == content


def test_a_file_that_is_not_what_its_manifest_vouches_for_is_not_pushed(
    phone: Phone, vouched: Artifact, tmp_path: Path
) -> None:
    swapped = tmp_path / "affine.pte"
    swapped.write_bytes(vouched.file.read_bytes() + b"more")
    error = failure(ChecksumMismatch, lambda: open_only(phone, replace(vouched, file=swapped)))
    assert "changed since it was checked" in error.message
    assert models(phone) == []


def test_files_that_lost_their_end_on_the_device_are_pushed_again(phone: Phone, file: Path) -> None:
    use(phone, file)
    (runner,) = phone.store.glob("ashore/*/ashore-runner")
    (model,) = phone.store.glob("ashore/models/*")
    sizes = runner.stat().st_size, model.stat().st_size
    for each in (runner, model):
        os.truncate(each, 10)
    use(phone, file)
    assert (runner.stat().st_size, model.stat().st_size) == sizes


def test_what_broken_pushes_left_is_swept_up_hours_later(phone: Phone, file: Path) -> None:
    old = phone.store / "ashore" / f"{'0' * 64}.part-1"
    old.mkdir()
    (old / "ashore-runner").write_bytes(b"half")
    for each in (old / "ashore-runner", old):
        os.utime(each, (time.time() - 86400,) * 2)
    use(phone, file)
    assert parts(phone) == []


def test_ctrl_c_in_a_push_leaves_nothing_half_written(phone: Phone, file: Path) -> None:
    phone.faults.stall_push_after = 100
    script = "import sys, ashore; ashore.open_session(sys.argv[1], target=sys.argv[2])"
    words = [sys.executable, "-c", script, str(file), target_id(phone)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as program:
        assert eventually(lambda: bool(parts(phone)))
        program.send_signal(signal.SIGINT)
        assert program.stderr is not None and "KeyboardInterrupt" in program.stderr.read()
    assert parts(phone) == models(phone) == []
    phone.faults.clear()
    use(phone, file)


def open_only(phone: Phone, artifact: Artifact) -> None:
    registry.get_target(target_id(phone)).open(artifact).close()
