"""Profiles as files: what is written, read back, and refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ashore import ArtifactError, UsageError
from ashore.profiling.profiles import dump_profile, load_profile, parse_profile, profile_fields, save_profile
from ashore.types.profile import (
    CoreFrequency,
    CurvePoint,
    Environment,
    Load,
    Profile,
    Sustained,
    Temperature,
)
from handmade import EMULATOR, artifact, counted, delegation, graph, op, profile, result, timed_ops

GOLDEN = Path(__file__).with_name("golden") / "profile.json"
SMALL = profile(result())
FULL = profile(
    result(
        ((9_000_000, 10_000_000), (11_000_000,)),
        artifact=artifact(
            "int8",
            sqnr_db=-3.5,
            compressed_bytes=3,
            delegation=delegation(3, 4, 2, ("größe", 1)),
            graph=graph(copies=2),
        ),
        **timed_ops(op("conv #1", 2.5, module="features.0"), ms=3.0, runs=2),
        sustained=Sustained(2.0, (CurvePoint(0.0, 5.0, 10, 9, 11),)),
        environment=Environment(
            "performance", (CoreFrequency(0, 1, 2, 3),), Temperature(-3.0, 4.5), Load(0.5, 1.5, 4, 0.1, 0.0, 7, 2)
        ),
        warnings=("noisy: 犬",),
        skipped={"instructions": "this target counts none"},
    ),
    result(None, target=EMULATOR, instructions=counted(51_500_000), peak_bytes=None),
)


@pytest.mark.parametrize("written", [SMALL, FULL], ids=["small", "full"])
def test_a_profile_reads_back_as_it_was(written: Profile, tmp_path: Path) -> None:
    save_profile(written, tmp_path / "new" / "profile.json")
    assert load_profile(tmp_path / "new" / "profile.json") == written
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["profile.json"]


def test_the_format_is_the_golden_files() -> None:
    """A change of the format is a change of the schema's number, or an addition that older files do without."""
    assert dump_profile(FULL) == GOLDEN.read_bytes()
    assert load_profile(GOLDEN) == FULL


def test_what_was_not_measured_is_left_out() -> None:
    host, emulated = profile_fields(FULL)["results"]
    assert not {"latency_ns", "load_ns", "first_run_ns", "memory", "ops"} & set(emulated)
    assert emulated["instructions"]["per_run"] == 51_500_000
    assert "instructions" not in host and host["skipped"] == {"instructions": "this target counts none"}


def test_samples_take_one_line() -> None:
    lines = dump_profile(FULL).decode().splitlines()
    assert '      "latency_ns": [9000000, 10000000, 11000000],' in lines


def test_samples_are_cut_into_the_processes_that_gave_them() -> None:
    assert FULL.results[0].samples_by_repeat == ((9_000_000, 10_000_000), (11_000_000,))
    assert replace(FULL.results[0], repeats=()).samples_by_repeat == ((9_000_000, 10_000_000, 11_000_000),)


def test_a_field_of_a_later_version_is_passed_over() -> None:
    fields = profile_fields(SMALL) | {"weather": "fine"}
    assert parse_profile(json.dumps(fields).encode(), "p.json") == SMALL


def altered(path: str, value: Any) -> bytes:
    """The small profile with one field set; a value of ... removes it."""
    fields = profile_fields(SMALL)
    place: Any = fields
    *way, last = path.split(".")
    for step in way:
        place = place[int(step)] if step.isdigit() else place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schema", "ashore.profile/2", "p.json has schema 'ashore.profile/2'; this ashore reads 'ashore.profile/1'"),
        ("schema", ..., "p.json has schema None"),
        ("results.0.load_ns", float("nan"), "p.json is not a profile: it holds NaN, which is not a number"),
        ("results.0.load_ns", float("inf"), "p.json is not a profile: it holds Infinity"),
        ("results.0.load_ns", -1, "field 'results.0.load_ns' is -1, and cannot be negative"),
        ("results.0.latency_ns", [5, -5], "field 'results.0.latency_ns.1' is -5, and cannot be negative"),
        ("results.0.latency_ns", [2**63], "out of any range"),
        ("results.0.latency_ns", [1.5], "field 'results.0.latency_ns.0': Input should be a valid integer"),
        ("results.0.latency_ns", ["5"], "field 'results.0.latency_ns.0': Input should be a valid integer"),
        ("results.0.latency_ns", [True], "field 'results.0.latency_ns.0': Input should be a valid integer"),
        ("results.0.latency_ns", [], "result 0: latency_ns is empty; what was not measured is left out"),
        ("results.0.latency_ns", [5], "result 0: its repeats count 60 runs, latency_ns has 1"),
        ("results.0.settings.threads", 0, "result 0: settings say 0 threads, 20 runs"),
        ("results.0.settings.mode", "slow", "field 'results.0.settings.mode': Input should be 'fast' or 'thorough'"),
        ("results.0.target.kind", "toaster", "field 'results.0.target.kind': Input should be 'host', 'emulator' or"),
        ("results.0.artifact", ..., "field 'results.0.artifact': Field required"),
        ("results.0.artifact.bytes", None, "field 'results.0.artifact.bytes': Input should be a valid integer"),
        ("results", {}, "field 'results': Input should be a valid array"),
    ],
)
def test_a_value_that_no_measurement_gives_is_named(path: str, value: Any, message: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        parse_profile(altered(path, value), "p.json")
    assert message in caught.value.message
    assert "profile again" in caught.value.hint
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "p.json is not a profile: Expecting value"),
        (b"[]", "p.json has schema None"),
        (b'"x"', "p.json has schema None"),
        (b"\xff\xfe\x00", "p.json is not a profile: "),
        (dump_profile(SMALL)[:-40], "p.json is not a profile: "),
        (b"[" * 100_000, "p.json is not a profile: "),
        (b'{"schema": "ashore.profile/1", "a": ' + b"[" * 900 + b"]" * 900 + b"}", "p.json"),
        (b'{"schema": "ashore.profile/1", "results": 1e999}', "field 'results' is inf, out of any range"),
    ],
    ids=["empty", "list", "text", "bytes", "cut", "deep", "nested", "overflow"],
)
def test_what_is_no_profile_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        parse_profile(text, "p.json")
    assert message in caught.value.message


def test_a_missing_file_is_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file .*none\.json") as caught:
        load_profile(tmp_path / "none.json")
    assert "ashore profile -o writes it" in caught.value.hint


def test_a_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be read: Is a directory"):
        load_profile(tmp_path)
