"""``ashore profile``, ``compare`` and ``history`` at the terminal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import ashore
from ashore import Profile
from ashore.types.target import TargetKind
from commands import Command, Outcome
from fake_costs import MS, Costs
from fakes import FakeTarget
from handmade import MB, artifact, profile, result


@pytest.fixture
def model(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return model


@pytest.fixture
def known(costs: Any, model: Path) -> Costs:
    found: Costs = costs(model.name)
    found.opened.clear()
    return found


def row(outcome: Outcome, word: str) -> list[str]:
    """The cells of the first line of a table that holds ``word``."""
    line = next(line for line in outcome.out.splitlines() if word in line and "│" in line)
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_profile_answers_with_a_table(command: Command, model: Path) -> None:
    outcome = command("profile", model)
    assert outcome.code == 0
    cells = row(outcome, "net.fake.fp32")
    assert cells[:4] == ["net.fake.fp32", "host", "1", "10.00"]
    assert cells[5:] == ["10.10", "5.000", "20.0", "0.00", "200.0", "3/4"]
    assert "M instr." not in outcome.out, "a column that nothing was measured for is left out"
    assert "net.fake.fp32 on host, 1 thread: latency, process 3 of 3" in outcome.err


def test_profile_answers_with_one_document_that_is_a_profile(command: Command, model: Path, tmp_path: Path) -> None:
    outcome = command("profile", model, "--json", "--threads", 1, "--threads", 2)
    assert outcome.document["schema"] == "ashore.profile/1"
    assert [each["settings"]["threads"] for each in outcome.document["results"]] == [1, 2]
    (tmp_path / "p.json").write_text(outcome.out)
    assert len(ashore.load_profile(tmp_path / "p.json").results) == 2


def test_profile_writes_its_file_whole(command: Command, model: Path, tmp_path: Path) -> None:
    assert command("profile", model, "-o", tmp_path / "new" / "profile.json").code == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["profile.json"]
    assert ashore.load_profile(tmp_path / "new" / "profile.json").results[0].title == "net.fake.fp32"


@pytest.mark.usefixtures("known")
def test_thorough_ops_and_sustained_are_passed_on(command: Command, model: Path, known: Costs) -> None:
    known.run_ns = 100 * MS
    words = ("--thorough", "--ops", "--sustained", "0.5")
    (measured,) = command("profile", model, *words, "--json").document["results"]
    assert measured["settings"]["mode"] == "thorough"
    assert len(measured["latency_ns"]) >= 1024
    assert len(measured["ops"]) == 2
    assert measured["sustained"]["minutes"] == 0.5
    people = command("profile", model, "--sustained", "0.5")
    assert (
        "net.fake.fp32 on host, 0.5 minutes without a pause: first half 100.000 ms, second half 100.000 ms (+0.0%)"
        in people.out
    )


def test_explain_times_operators_and_says_why(command: Command, model: Path, known: Costs) -> None:
    known.ops = (
        *known.ops[:1],
        replace(known.ops[1], name="aten::gelu.out #1", type="aten::gelu.out", delegated=False),
    )
    outcome = command("profile", model, "--explain")
    assert outcome.code == 0
    told = outcome.out.partition("why is net.fake.fp32 on host, 1 thread not faster?")[2]
    assert "operators explain 95% of the run" in told
    assert "- 1 operator outside of the delegate" in told
    assert "3.000 ms of 15.000 ms (20%): aten::gelu.out 3.000 ms (x1)" in told
    assert "would help most (up to 3.000 ms a run): replace aten::gelu.out in the model" in told
    document = command("profile", model, "--explain", "--json").document
    (explanation,) = document["explanations"]
    assert explanation["best"]["kind"] == "undelegated operators"
    assert explanation["causes"][0] == explanation["best"]
    assert document["results"][0]["ops"]


def test_warnings_go_to_the_other_stream(command: Command, model: Path, known: Costs) -> None:
    known.jitter = (0.0, 0.3, -0.2)
    outcome = command("profile", model)
    assert "warning: net.fake.fp32 on host, 1 thread: noisy: single runs scatter by " in outcome.err
    assert "noisy" not in outcome.out


def test_an_emulators_row_shows_no_latency(command: Command, model: Path, places: dict) -> None:
    places["emulator:a76"] = FakeTarget("emulator:a76", TargetKind.EMULATOR)
    outcome = command("profile", model, "--target", "emulator:a76")
    assert outcome.code == 0
    assert "p50" not in outcome.out and "load ms" not in outcome.out
    assert "peak MB" in outcome.out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--threads", "0"], 2, "0 threads were asked for"),
        (["--threads", "many"], 2, "'many' is not a valid integer"),
        (["--sustained", "-1"], 2, "a sustained run of -1 minutes was asked for"),
        (["--target", "phone"], 7, "there is no target 'phone'"),
        (["-o", "{folder}"], 2, "is a folder, and a file is to go there"),
        (["-o", "{model}/p.json"], 2, "cannot be written: "),
        (["--store", "nonsense://x"], 2, "the store nonsense://x cannot be reached"),
        (["--save", "--store", "{model}"], 5, "is damaged or no history"),
    ],
)
def test_a_wrong_call_is_told_before_anything_is_measured(
    command: Command, model: Path, known: Costs, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    (tmp_path / "taken").mkdir()
    before = sorted(tmp_path.rglob("*"))
    outcome = command("profile", model, *(word.format(model=model, folder=tmp_path / "taken") for word in words))
    assert outcome.code == code
    assert message in outcome.err and "hint: " in outcome.err
    assert known.opened == []
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("fakes")
def test_profile_of_no_file_is_a_wrong_call(command: Command) -> None:
    assert command("profile").code == 2
    outcome = command("profile", "none.fake")
    assert (outcome.code, "there is no file none.fake" in outcome.err) == (2, True)


def test_save_and_history(command: Command, model: Path, known: Costs, tmp_path: Path) -> None:
    for ms in (10, 20, 15):
        known.run_ns = ms * MS
        assert command("profile", model, "--save").code == 0
    assert (tmp_path / ".ashore" / "history.sqlite").is_file()
    outcome = command("history")
    assert outcome.code == 0
    cells = row(outcome, "net.fake.fp32")
    assert cells == [
        *("net.fake.fp32", "host", "1", "fast", "latency", "3"),
        *("10.000 ms", "15.000 ms", "+50.0%", "▁█▅"),
    ]
    lines = outcome.out.splitlines()[-3:]
    assert [line.count("█") for line in lines] == [20, 40, 30]
    assert all("T" in line and " ms " in line for line in lines)


def test_history_as_a_document(command: Command, model: Path) -> None:
    command("profile", model, "--store", "other.sqlite")
    words = ("history", "--store", "other.sqlite", "--metric", "size", "--artifact", "net", "--target", "host")
    (series,) = command(*words, "--json").document["series"]
    assert (series["metric"], series["unit"], series["scale"]) == ("size", "MB", 1e6)
    assert series["points"][0][1] == model.stat().st_size
    assert command(*words[:-1], "phone", "--json").document == {"series": []}
    assert command(*words[:-1], "phone").code == 0


@pytest.mark.usefixtures("model")
def test_no_history_is_told(command: Command) -> None:
    outcome = command("history")
    assert outcome.code == 2
    assert "there is no history at .ashore/history.sqlite" in outcome.err
    assert "ashore profile --save makes one" in outcome.err


INT8 = result(4.0, artifact=artifact("int8", sqnr_db=22.0), peak_bytes=20 * MB)
FP32 = result(10.0, artifact=artifact("fp32", sqnr_db=120.0), peak_bytes=40 * MB)


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def save(name: str, value: Profile) -> str:
        ashore.save_profile(value, Path(name))
        return name

    return save


def test_compare_of_a_profile_with_itself_exits_0(command: Command, saved: Any) -> None:
    base = saved("base.json", profile(INT8))
    outcome = command("compare", base, base)
    assert outcome.code == 0
    assert row(outcome, "latency")[1:5] == ["latency", "4.000 ms", "4.000 ms", "1.00x"]
    assert outcome.out.endswith("within the thresholds\n")


def test_compare_of_the_slower_file_exits_8(command: Command, saved: Any) -> None:
    words = ("compare", saved("int8.json", profile(INT8)), saved("fp32.json", profile(FP32)))
    outcome = command(*words)
    assert outcome.code == 8
    cells = row(outcome, "latency")
    assert (cells[4], cells[-2], cells[-1]) == ("2.50x", "1.10x", "EXCEEDED")
    assert (
        "note: net.fake.int8 → net.fake.fp32 on host, 1 thread: the precision differs: int8 in the base" in outcome.out
    )
    document = command(*words, "--json").document
    assert document["exceeded"] is True
    (pair,) = document["pairs"]
    latency = pair["differences"][0]
    assert (latency["metric"], latency["change"], latency["exceeded"]) == ("latency", 2.5, True)
    assert latency["interval"]["low"] < 2.5 < latency["interval"]["high"]
    assert command("compare", "fp32.json", "int8.json").code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), 8),
        (("--fail-slower", "inf", "--fail-memory", "inf"), 0),
        (("--fail-slower", "200", "--fail-memory", "99"), 8),
        (("--fail-slower", "149", "--fail-memory", "101"), 8),
        (("--fail-slower", "151", "--fail-memory", "101"), 0),
    ],
)
def test_thresholds_decide_the_exit_code(command: Command, saved: Any, words: tuple[str, ...], code: int) -> None:
    pair = saved("int8.json", profile(INT8)), saved("fp32.json", profile(FP32))
    assert command("compare", *pair, *words).code == code


def test_a_loss_of_sqnr_exits_8_where_it_was_asked_for(command: Command, saved: Any) -> None:
    pair = saved("fp32.json", profile(FP32)), saved("int8.json", profile(INT8))
    assert command("compare", *pair).code == 0
    assert command("compare", *pair, "--fail-sqnr", "50").code == 8
    assert command("compare", *pair, "--fail-sqnr", "100").code == 0


def test_compare_writes_junit_and_markdown(command: Command, saved: Any, tmp_path: Path) -> None:
    pair = saved("int8.json", profile(INT8)), saved("fp32.json", profile(FP32))
    outcome = command("compare", *pair, "--junit", "ci/junit.xml", "--markdown", "ci/summary.md")
    assert outcome.code == 8
    suite = ElementTree.parse(tmp_path / "ci" / "junit.xml").getroot()
    assert suite.get("failures") == "2"
    assert (tmp_path / "ci" / "summary.md").read_text().startswith("**ashore compare: beyond the threshold: ")


@pytest.mark.parametrize(
    ("new", "code", "message"),
    [
        (profile(replace(INT8, settings=replace(INT8.settings, threads=2))), 2, "different numbers of threads, 1 in"),
        (profile(result(artifact=artifact(name="other"))), 2, "the two profiles have no artifact in common"),
    ],
)
def test_compare_refuses_with_the_reason(command: Command, saved: Any, new: Profile, code: int, message: str) -> None:
    outcome = command("compare", saved("base.json", profile(INT8)), saved("new.json", new), "--json")
    assert outcome.code == code
    assert message in outcome.document["error"]["message"]


def test_compare_of_what_is_no_profile_names_the_file(command: Command, saved: Any) -> None:
    base = saved("base.json", profile(INT8))
    Path("broken.json").write_text(json.dumps({"schema": "ashore.manifest/1"}))
    outcome = command("compare", base, "broken.json")
    assert outcome.code == 5
    assert "broken.json has schema 'ashore.manifest/1'; this ashore reads 'ashore.profile/1'" in outcome.err
    outcome = command("compare", base, "none.json")
    assert (outcome.code, "there is no file none.json" in outcome.err) == (2, True)
    assert command("compare", base, base, "--fail-slower", "-5").code == 2
