"""The history: profiles over time, many writers at once, nothing lost that was committed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ashore import ArtifactError, Profile, UsageError
from ashore.profiling.history import append_profile, check_store, read_history, read_profiles
from ashore.profiling.profiles import save_profile
from handmade import EMULATOR, MB, artifact, counted, profile, result

TESTS = Path(__file__).parents[1]


def at(time: str, *results) -> Profile:
    return replace(profile(*results), created=f"2026-01-31T{time}+00:00")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / ".ashore" / "history.sqlite"


def test_a_metric_over_time(store: Path) -> None:
    for hour, ms in ((10, 5.0), (12, 4.0), (11, 6.0)):
        append_profile(at(f"{hour}:00:00", result(ms)), store)
    (series,) = read_history(store, metrics=["latency"])
    assert (series.artifact, series.target, series.threads, series.mode) == ("net.fake.fp32", "host", 1, "fast")
    assert series.points == (
        ("2026-01-31T10:00:00+00:00", 5_000_000.0),
        ("2026-01-31T11:00:00+00:00", 6_000_000.0),
        ("2026-01-31T12:00:00+00:00", 4_000_000.0),
    )


def test_profiles_come_back_whole(store: Path) -> None:
    first, second = at("10:00:00", result(5.0)), at("11:00:00", result(6.0), result(None, target=EMULATOR))
    append_profile(second, store)
    append_profile(first, store)
    assert read_profiles(store) == (first, second)


def test_each_artifact_target_and_number_of_threads_is_a_series(store: Path) -> None:
    emulated = result(None, target=EMULATOR, instructions=counted(5_000_000))
    append_profile(at("10:00:00", result(), result(threads=2), result(artifact=artifact("int8")), emulated), store)
    found = read_history(store, metrics=["latency", "instructions"])
    assert [(each.artifact, each.target, each.threads, each.metric) for each in found] == [
        ("net.fake.fp32", "host", 1, "latency"),
        ("net.fake.fp32", "host", 2, "latency"),
        ("net.fake.int8", "host", 1, "latency"),
        ("net.fake.fp32", "emulator:a76", 1, "instructions"),
    ]
    assert found[-1].values == (5_000_000.0,)


def test_every_measured_metric_is_kept_and_no_other(store: Path) -> None:
    append_profile(at("10:00:00", result(None, peak_bytes=None, artifact=artifact(sqnr_db=None))), store)
    assert {series.metric for series in read_history(store)} == {"size"}
    append_profile(at("11:00:00", result(artifact=artifact("int8", compressed_bytes=MB))), store)
    assert {series.metric: series.values for series in read_history(store, artifacts=["net.fake.int8"])} == {
        "latency": (10_000_000.0,),
        "p90": (pytest.approx(10_150_000, rel=0.01),),
        "load": (5_000_000.0,),
        "first-run": (20_000_000.0,),
        "peak-memory": (20e6,),
        "size": (4e6,),
        "compressed-size": (1e6,),
        "sqnr": (100.0,),
    }


def test_artifacts_are_chosen_by_name_or_by_its_beginning(store: Path) -> None:
    names = ("net", "network")
    append_profile(at("10:00:00", *(result(artifact=artifact(name=name)) for name in names)), store)

    def chosen(*wanted: str) -> list[str]:
        return [series.artifact for series in read_history(store, metrics=["size"], artifacts=wanted)]

    assert chosen("net") == ["net.fake.fp32"]
    assert chosen("network.fake") == ["network.fake.fp32"]
    assert chosen("net", "network.fake.fp32") == ["net.fake.fp32", "network.fake.fp32"]
    assert chosen("ne") == []


def test_targets_are_chosen_by_id(store: Path) -> None:
    append_profile(at("10:00:00", result(), result(None, target=EMULATOR)), store)
    assert [series.target for series in read_history(store, metrics=["size"], targets=["emulator:a76"])] == [
        "emulator:a76"
    ]


def test_a_url_names_a_store_too(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.sqlite'}"
    append_profile(at("10:00:00", result()), url)
    assert read_history(url, metrics=["latency"])[0].values == (10_000_000.0,)
    assert (tmp_path / "elsewhere.sqlite").is_file()


def test_a_name_with_odd_characters_is_only_a_name(tmp_path: Path) -> None:
    odd = tmp_path / "it's 50 % ?#;.sqlite"
    nasty = artifact(name="net'; DROP TABLE profiles; --")
    append_profile(at("10:00:00", result(artifact=nasty)), odd)
    assert odd.is_file()
    assert read_history(odd, metrics=["latency"], artifacts=[nasty.name])[0].artifact.startswith("net'; DROP")


def test_many_processes_write_the_first_lines_at_once(store: Path, tmp_path: Path) -> None:
    save_profile(at("10:00:00", result(), result(threads=2)), tmp_path / "p.json")
    code = (
        "import sys; from ashore.profiling.history import append_profile; from ashore import load_profile\n"
        "profile = load_profile(sys.argv[1])\nfor _ in range(5): append_profile(profile, sys.argv[2])"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, tmp_path / "p.json", store]) for _ in range(6)]
    assert [writer.wait() for writer in writers] == [0] * 6
    assert len(read_profiles(store)) == 30
    assert [len(series.points) for series in read_history(store, metrics=["latency"])] == [30, 30]


def test_a_crash_between_two_profiles_loses_neither_what_was_written_nor_the_store(store: Path, tmp_path: Path) -> None:
    save_profile(at("10:00:00", result()), tmp_path / "p.json")
    code = (
        "import os, signal, sys; from ashore import load_profile; from ashore.profiling import history, store\n"
        "profile = load_profile(sys.argv[1])\nhistory.append_profile(profile, sys.argv[2])\n"
        "store.add_measurements = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "history.append_profile(profile, sys.argv[2])"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "p.json", store], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(read_profiles(store)) == 1, "the first is whole, of the second there is nothing"
    append_profile(at("11:00:00", result()), store)
    assert len(read_history(store, metrics=["latency"])[0].points) == 2


def test_a_reader_does_not_wait_for_a_writer(store: Path) -> None:
    append_profile(at("10:00:00", result()), store)
    writer = sqlite3.connect(store, isolation_level=None)
    try:
        writer.execute("BEGIN IMMEDIATE")
        assert len(read_history(store, metrics=["latency"])) == 1
    finally:
        writer.close()


def test_no_store_is_told_with_the_command_that_makes_one(store: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no history at .*history\.sqlite") as caught:
        read_history(store)
    assert "ashore profile --save makes one" in caught.value.hint
    assert not store.parent.exists()


def test_an_unknown_metric_is_told_with_the_known_ones(store: Path) -> None:
    append_profile(at("10:00:00", result()), store)
    with pytest.raises(UsageError, match="there is no metric 'speed'") as caught:
        read_history(store, metrics=["speed"])
    assert "latency" in caught.value.hint and "peak-memory" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense://x", "the store nonsense://x cannot be reached"),
        ("postgresql://127.0.0.1/none", "the store postgresql://127.0.0.1/none cannot be reached"),
        ("://", "the store :// cannot be reached"),
    ],
)
def test_a_url_that_leads_nowhere_is_a_wrong_call(url: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        append_profile(at("10:00:00", result()), url)
    assert message in caught.value.message and "sqlite:///history.sqlite" in caught.value.hint


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("these are my notes\n" * 100)
    for use in (check_store, read_history):
        with pytest.raises(ArtifactError, match=r"notes\.txt is damaged or no history: file is not a database"):
            use(other)
    assert other.read_text() == "these are my notes\n" * 100


def test_a_database_of_something_else_is_not_read_as_a_history(tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE friends (name)")
    connection.close()
    with pytest.raises(ArtifactError, match=r"other\.sqlite is no history of ashore's"):
        read_history(other)


def test_a_store_of_another_schema_is_refused(store: Path) -> None:
    append_profile(at("10:00:00", result()), store)
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE about SET schema = 'ashore.history/9'")
    connection.close()
    for use in (check_store, read_history):
        with pytest.raises(ArtifactError, match=r"has schema 'ashore\.history/9'; this ashore reads"):
            use(store)


def test_a_folder_in_the_way_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be used: unable to open database file"):
        check_store(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="of the history cannot be made: "):
        check_store(tmp_path / "file" / "history.sqlite")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_cannot_be_written_is_told(store: Path) -> None:
    append_profile(at("10:00:00", result()), store)
    store.chmod(0o400)
    with pytest.raises(UsageError, match="attempt to write a readonly database"):
        append_profile(at("11:00:00", result()), store)
