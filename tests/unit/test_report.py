"""Reports as text: Markdown, CSV and traces, and what none of them may show."""

from __future__ import annotations

import csv
import html
import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, TypeAdapter

import sample_profiles
from ashore.profiling.profiles import save_profile
from ashore.profiling.statistics import latency_of
from ashore.types.profile import ColdRepeat, Memory, OpCost, OpsPass, Profile, Result, Sustained
from ashore.types.target import TargetKind
from commands import Command

GOLDEN = Path(__file__).parents[1] / "golden"
MS = sample_profiles.MS


@pytest.fixture
def written(command: Command, tmp_path: Path):
    """``written(profile, "r.md")``: the text that ``ashore report`` makes of a profile."""

    def write(profile: Profile, name: str) -> str:
        save_profile(profile, tmp_path / "profile.json")
        outcome = command("report", tmp_path / "profile.json", "-o", tmp_path / name)
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.out == f"{tmp_path / name}\n"
        return (tmp_path / name).read_text()

    return write


@pytest.mark.parametrize("name", ["report.md", "report.csv", "report.trace.json"])
def test_reports_are_as_they_were(written, name: str) -> None:
    """After a change that is meant, write the golden files anew: ASHORE_GOLDEN=1."""
    text = written(sample_profiles.small_profile(), name)
    if os.environ.get("ASHORE_GOLDEN"):
        (GOLDEN / name).write_text(text)
    assert text == (GOLDEN / name).read_text()


def test_csv_holds_the_exact_figures_with_units_in_their_names(written) -> None:
    profile = sample_profiles.demo_profile()
    rows = list(csv.DictReader(written(profile, "r.csv").splitlines()))
    assert len(rows) == len(profile.results)
    by_key = {(row["sha256"], row["target"], row["threads"]): row for row in rows}
    for result in profile.results:
        row = by_key[result.artifact.sha256, result.target.id, str(result.settings.threads)]
        assert int(row["size_bytes"]) == result.artifact.bytes
        assert float(row["sqnr_db"]) == result.artifact.parity.sqnr_db
        assert int(row["memory_peak_bytes"]) == result.memory.peak_bytes
        latency = latency_of(result)
        assert row["latency_p50_ns"] == ("" if latency is None else str(latency.median_ns).removesuffix(".0"))
        assert row["instructions_per_run"] == (str(result.instructions.per_run) if result.instructions else "")


def test_what_was_not_measured_is_empty_and_says_why(written) -> None:
    rows = list(csv.DictReader(written(sample_profiles.small_profile(), "r.csv").splitlines()))
    stock = next(row for row in rows if row["artifact"] == "stock")
    assert stock["sqnr_db"] == stock["memory_peak_bytes"] == stock["latency_p50_ns"] == ""
    assert "sqnr_db top1_agreement: the file has no manifest" in stock["not_measured"]
    assert "memory_peak_bytes memory_planned_bytes: it | crashed" in stock["not_measured"]
    assert "not measured: the file has no manifest" in written(sample_profiles.small_profile(), "r.md")


def test_a_spreadsheet_takes_no_name_for_a_formula(written) -> None:
    result = sample_profiles.on_host(sample_profiles.FILES[0], 10)
    hostile = replace(result, artifact=replace(result.artifact, name='=HYPERLINK("http://x","y")'))
    (row,) = csv.DictReader(written(Profile((hostile,), "now"), "r.csv").splitlines())
    assert row["artifact"].startswith("'=")


def test_markdown_shows_hostile_names_as_text_in_one_cell(written) -> None:
    result = sample_profiles.on_host(sample_profiles.FILES[0], 10)
    name = "a|b\n<img src=x onerror=alert(1)> [x](javascript:alert(1)) `c` **d**"
    text = written(Profile((replace(result, artifact=replace(result.artifact, name=name)),), "now"), "r.md")
    (line,) = [line for line in text.splitlines() if "onerror" in line]
    assert line.replace("\\|", "").count("|") == 11
    assert "<" not in line and "\\[x\\]\\(" in line and "\\`c\\`" in line and "\\*\\*d\\*\\*" in line


@pytest.mark.parametrize("name", ["r.md", "r.csv", "r.html"])
def test_no_report_holds_what_a_terminal_obeys(written, name: str) -> None:
    result = sample_profiles.on_host(sample_profiles.FILES[0], 10)
    hostile = replace(result, artifact=replace(result.artifact, name="a\x1b]0;owned\x07b\u202e"), warnings=("\x9b2J",))
    text = written(Profile((hostile,), "now"), name)
    assert "owned" in text
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(text)


def with_times(result: Result) -> Result:
    """An emulated result that holds times all the same, as no profiler of ours writes it."""
    return replace(
        result,
        load_ns=98_765_432,
        first_run_ns=98_765_432,
        latency_ns=(98_765_432,) * 20,
        repeats=(ColdRepeat(98_765_432, 98_765_432, 20),),
        ops=(OpCost("conv", "conv", True, 98_765_432, 1),),
        ops_pass=OpsPass((98_765_432,)),
        sustained=Sustained(1.0, ()),
    )


@pytest.mark.parametrize("name", ["r.html", "r.md", "r.csv"])
def test_emulated_time_is_never_shown(written, name: str) -> None:
    emulated = with_times(sample_profiles.emulated(sample_profiles.FILES[0], 812 * MS))
    text = written(Profile((emulated,), "now"), name)
    assert "98765432" not in text and "98.77" not in text
    assert "812" in text
    assert "says nothing about the model's" in html.unescape(text)


def test_a_trace_of_emulated_results_alone_is_refused(command: Command, tmp_path: Path) -> None:
    emulated = with_times(sample_profiles.emulated(sample_profiles.FILES[0], 812 * MS))
    save_profile(Profile((emulated,), "now"), tmp_path / "p.json")
    outcome = command("report", tmp_path / "p.json", "-o", tmp_path / "p.trace.json")
    assert outcome.code == 2
    assert "no result holds times" in outcome.err
    assert not (tmp_path / "p.trace.json").exists()


class _Event(BaseModel):
    """What the Trace Event Format asks of the events that we write."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    pid: int
    tid: int
    args: dict[str, Any]


class _Metadata(_Event):
    ph: Literal["M"]
    name: Literal["process_name", "process_sort_index", "thread_name"]


class _Counter(_Event):
    ph: Literal["C"]
    cat: str
    ts: NonNegativeFloat
    args: dict[str, int]


class _Complete(_Event):
    ph: Literal["X"]
    cat: str
    ts: NonNegativeFloat
    dur: float = Field(gt=0)


class _Trace(BaseModel):
    model_config = ConfigDict(extra="forbid")
    traceEvents: list[_Metadata | _Counter | _Complete]
    displayTimeUnit: Literal["ms", "ns"]
    otherData: dict[str, Any]


def test_a_trace_keeps_the_format_and_every_run(written) -> None:
    profile = sample_profiles.demo_profile()
    trace = TypeAdapter(_Trace).validate_json(written(profile, "r.trace.json"))
    runs = [event for event in trace.traceEvents if isinstance(event, _Complete) and event.cat == "latency"]
    timed = [result for result in profile.results if result.target.kind is not TargetKind.EMULATOR]
    durations = sorted(round(event.dur * 1000) for event in runs)
    assert durations == sorted(ns for result in timed for ns in result.latency_ns)
    assert len(trace.otherData["left_out"]) == len(profile.results) - len(timed)
    for process in {event.pid for event in runs}:
        own = [event for event in runs if event.pid == process]
        for before, after in pairwise(own):
            assert after.ts >= before.ts + before.dur - 0.01, "runs do not overlap"


def test_a_trace_shows_operators_by_their_mean(written) -> None:
    result = replace(
        sample_profiles.on_host(sample_profiles.FILES[0], 10),
        ops=(OpCost("conv", "conv2d", True, 40 * MS, 10, "features.0"), OpCost("mean", "mean", False, 5 * MS, 10)),
        ops_pass=OpsPass((5 * MS,) * 10),
    )
    events = json.loads(written(Profile((result,), "now"), "r.trace.json"))["traceEvents"]
    conv = next(event for event in events if event["name"] == "conv")
    mean = next(event for event in events if event["name"] == "mean")
    assert (conv["cat"], conv["dur"], conv["args"]["module"]) == ("delegate", 4000, "features.0")
    assert (mean["cat"], mean["dur"], mean["ts"]) == ("outside the delegate", 500, 4000)


def test_several_profiles_make_one_report(command: Command, tmp_path: Path) -> None:
    for name, median in (("base.json", 10.0), ("new.json", 12.0)):
        result = sample_profiles.on_host(sample_profiles.FILES[0], median)
        save_profile(Profile((result,), "now"), tmp_path / name)
    words = (
        "report",
        tmp_path / "base.json",
        tmp_path / "new.json",
        "-o",
        tmp_path / "r.csv",
        "-o",
        tmp_path / "r.html",
    )
    outcome = command(*words, "--json")
    assert outcome.document == {"written": [str(tmp_path / "r.csv"), str(tmp_path / "r.html")]}
    rows = list(csv.DictReader((tmp_path / "r.csv").read_text().splitlines()))
    assert [row["profile"] for row in rows] == ["base.json", "new.json"]
    assert "base.json" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("output", "message"),
    [("r.pdf", "names no format"), ("r", "names no format"), ("there/r.md", "is a folder"), ("none.json/r.md", "")],
)
def test_a_wrong_output_is_told_and_nothing_is_left(
    command: Command, tmp_path: Path, output: str, message: str
) -> None:
    save_profile(sample_profiles.small_profile(), tmp_path / "none.json")
    (tmp_path / "there" / "r.md").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    outcome = command("report", tmp_path / "none.json", "-o", tmp_path / output)
    assert outcome.code == 2
    assert message in outcome.err and "hint: " in outcome.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [(None, 2, "there is no file"), ("{}", 5, "has schema None"), ("not json", 5, "is not a profile")],
)
def test_a_wrong_profile_is_told(command: Command, tmp_path: Path, text: str | None, code: int, message: str) -> None:
    if text is not None:
        (tmp_path / "p.json").write_text(text)
    outcome = command("report", tmp_path / "p.json", "-o", tmp_path / "r.html")
    assert (outcome.code, message in outcome.err) == (code, True)
    assert not (tmp_path / "r.html").exists()


def test_a_profile_without_results_is_no_error(written) -> None:
    assert "The profiles hold no result" in written(Profile((), "now"), "r.html")
    assert len(written(Profile((), "now"), "r.csv").splitlines()) == 1


def test_a_result_with_nothing_but_zeros_is_drawn(written) -> None:
    """Division by a figure that happens to be 0 would end the report."""
    empty = replace(sample_profiles.FILES[0], bytes=0, compressed_bytes=0)
    zero = replace(
        sample_profiles.on_host(empty, 10),
        load_ns=0,
        first_run_ns=0,
        latency_ns=(0,) * 60,
        memory=Memory(0, 0, 0, "/proc"),
        ops=(OpCost("a", "a", True, 0, 1),),
        ops_pass=OpsPass((0,)),
    )
    for name in ("r.html", "r.md", "r.csv", "r.trace.json"):
        assert written(Profile((zero, replace(zero, settings=replace(zero.settings, threads=2))), "now"), name)


def test_reporting_imports_nothing_heavy(tmp_path: Path) -> None:
    save_profile(sample_profiles.small_profile(), tmp_path / "p.json")
    code = (
        "import sys\nfrom pathlib import Path\nfrom ashore.report import report\n"
        "report([Path('p.json')], Path('r.html'))\n"
        "print({'torch', 'transformers', 'executorch', 'litert_torch', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == "set()\n"
