"""Manifests: JSON that people read, programs parse, and nobody edits unnoticed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from ashore import DynamicDim, LayerRule, ManifestInvalid, Precision, Preprocess, Recipe, TensorSpec
from ashore.pipeline.manifests import dump_manifest, load_manifest, manifest_fields
from ashore.types.conversion import Delegation, UndelegatedOp
from ashore.types.manifest import CalibrationRecord, FileRecord, GoldenRecord, Manifest, SourceRecord
from ashore.types.parity import OutputParity, Parity
from ashore.types.tensor import Quantization

SMALL = Manifest(
    name="tiny",
    backend="executorch",
    delegate="xnnpack",
    precision=Precision.FP32,
    recipe=Recipe(),
    file=FileRecord("tiny.executorch.fp32.pte", "ab" * 32, 1234),
    golden=GoldenRecord("tiny.executorch.fp32.golden.npz", "cd" * 32, 8),
    inputs=(TensorSpec("x", (1, 4), "float32"),),
    outputs=(TensorSpec("y", (1, 2), "float32"),),
    source=SourceRecord("module", 10),
    versions={"ashore": "0.1.0"},
    delegation=Delegation(3, 4, 1),
    parity=Parity.of(8, 60.0, (OutputParity("y", 120.5, 1.0, 1e-6, 0, 0),)),
    created="2026-01-31T12:00:00+00:00",
)
FULL = replace(
    SMALL,
    precision=Precision.INT8,
    recipe=Recipe(Precision.INT8, (LayerRule(r"head\..*", Precision.FP32),), int8_io=True),
    inputs=(
        TensorSpec("x", (8, 3, 4, 4), "int8", "NCHW", {0: DynamicDim("n", 1, 8)}, Quantization(0.0125, -3)),
        TensorSpec("größe", (), "int64"),
    ),
    source=SourceRecord("exported-program", 10, "ef" * 32, 40),
    delegation=Delegation(3, 4, 1, (UndelegatedOp("aten.mm", 1),)),
    parity=Parity.of(8, 15.0, (OutputParity("y", 16.5, 0.99, 0.5, 0, 0, 0.875, 1.0, 3),)),
    preprocess=Preprocess((224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    labels=("Katze", "犬"),
    calibration=CalibrationRecord(32, "01" * 32),
    warnings=("calibrated on random inputs",),
)


@pytest.mark.parametrize("manifest", [SMALL, FULL], ids=["small", "full"])
def test_a_manifest_reads_back_as_it_was(manifest: Manifest) -> None:
    assert load_manifest(dump_manifest(manifest), "tiny.json") == manifest


def test_the_text_is_json_with_the_fields_of_the_schema() -> None:
    fields = json.loads(dump_manifest(FULL))
    names = list(fields)
    assert (names[0], names[-1]) == ("schema", "seal")
    assert fields["schema"] == "ashore.manifest/1"
    assert fields["precision"] == "int8"
    assert fields["recipe"]["layers"] == [{"pattern": r"head\..*", "precision": "fp32"}]
    assert fields["file"] == {"name": "tiny.executorch.fp32.pte", "sha256": "ab" * 32, "bytes": 1234}
    assert fields["inputs"][0]["dynamic"] == {"0": {"name": "n", "minimum": 1, "maximum": 8}}
    assert fields["inputs"][0]["quantization"] == {"scale": 0.0125, "zero_point": -3}
    assert fields["labels"] == ["Katze", "犬"]
    assert fields["parity"]["top1_agreement_sure"] == 1.0
    assert "犬" in dump_manifest(FULL).decode()


def test_what_is_unknown_is_left_out() -> None:
    fields = manifest_fields(SMALL)
    assert not {"preprocess", "labels", "calibration"} & set(fields)
    assert "macs" not in fields["source"]


def test_the_seal_is_the_digest_of_the_text_with_zeros_in_its_place() -> None:
    text = dump_manifest(SMALL)
    seal = json.loads(text)["seal"]
    assert hashlib.sha256(text.replace(seal.encode(), b"0" * 64)).hexdigest() == seal


def test_any_changed_byte_breaks_the_seal() -> None:
    text = dump_manifest(SMALL)
    for position in range(len(text)):
        altered = bytearray(text)
        altered[position] ^= 1
        with pytest.raises(ManifestInvalid, match=r"tiny\.json is not a manifest as ashore wrote it"):
            load_manifest(bytes(altered), "tiny.json")


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t + b"\n", lambda t: t[: len(t) // 2], lambda _: b""])
def test_a_longer_or_shorter_text_breaks_the_seal(change) -> None:
    with pytest.raises(ManifestInvalid) as caught:
        load_manifest(change(dump_manifest(SMALL)), "tiny.json")
    assert "convert the model again" in caught.value.hint


def sealed(**changes: object) -> bytes:
    """A manifest with other fields and a right seal, as another program could write it."""
    fields = json.loads(dump_manifest(SMALL)) | changes | {"seal": "0" * 64}
    text = (json.dumps({key: value for key, value in fields.items() if value is not None}, indent=2) + "\n").encode()
    return text.replace(b'"' + b"0" * 64, b'"' + hashlib.sha256(text).hexdigest().encode())


def test_a_manifest_of_another_schema_is_refused() -> None:
    with pytest.raises(
        ManifestInvalid, match=r"tiny\.json has schema 'ashore\.manifest/2'; this ashore reads"
    ) as caught:
        load_manifest(sealed(schema="ashore.manifest/2"), "tiny.json")
    assert "the ashore that wrote it" in caught.value.hint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backend": None}, "field 'backend': Field required"),
        ({"precision": "int9"}, "field 'precision': Input should be 'fp32'"),
        ({"file": {"name": "a.pte", "sha256": "00", "bytes": "many"}}, "field 'file.bytes': Input should be a valid"),
        ({"file": {"name": "../a.pte", "sha256": "00", "bytes": 1}}, "names the file '../a.pte', which is not beside"),
        ({"golden": {"name": "/etc/x", "sha256": "00", "samples": 1}}, "names the file '/etc/x', which is not beside"),
    ],
)
def test_a_wrong_field_is_named(changes: dict, message: str) -> None:
    with pytest.raises(ManifestInvalid) as caught:
        load_manifest(sealed(**changes), "tiny.json")
    assert message in caught.value.message
