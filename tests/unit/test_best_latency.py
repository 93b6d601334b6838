"""The same file, slower than it is known to run on the same machine: what no pace of other work shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ashore
from ashore import ArtifactError
from ashore.profiling.profiles import save_profile
from ashore.types.profile import Environment
from fake_costs import MS, Costs
from handmade import profile, result


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def known(costs: Any, model: Path) -> Costs:
    found: Costs = costs(model.name)
    return found


def slow(model: Path, **settings: Any) -> list[str]:
    (measured,) = ashore.profile(model, **settings).results
    return [warning for warning in measured.warnings if warning.startswith("slow:")]


def test_a_file_slower_than_it_was_is_told(model: Path, known: Costs) -> None:
    assert slow(model) == []
    known.run_ns = 11 * MS
    assert slow(model) == [
        "slow: this same file has run 10% faster on this machine (10 ms), 3% is quiet; profile again when its "
        "neighbours are"
    ]


@pytest.mark.parametrize("run_us", [9_000, 10_000, 10_290])
def test_a_file_about_as_fast_as_ever_is_not(model: Path, known: Costs, run_us: int) -> None:
    slow(model)
    known.run_ns = run_us * 1000
    assert slow(model) == []


def test_other_threads_are_another_case(model: Path, known: Costs) -> None:
    known.gain = 0.0
    slow(model)
    known.run_ns = 11 * MS
    assert slow(model, threads=[2]) == []


def test_another_file_is_another_case(model: Path, known: Costs) -> None:
    slow(model)
    known.run_ns = 11 * MS
    model.write_bytes(model.read_bytes() + b" ")
    model.with_suffix(".json").unlink(missing_ok=True)
    assert slow(model) == []


def test_the_best_is_kept_in_the_profile(model: Path, known: Costs, tmp_path: Path) -> None:
    slow(model)
    known.run_ns = 11 * MS
    again = ashore.profile(model)
    assert again.results[0].environment.best_latency_ns == 10 * MS
    save_profile(again, tmp_path / "again.json")
    assert ashore.load_profile(tmp_path / "again.json").results == again.results


def test_where_nothing_can_be_written_there_is_no_best(model: Path, known: Costs, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    slow(model)
    known.run_ns = 11 * MS
    assert slow(model) == []


def test_a_best_that_no_clock_gives_is_refused(tmp_path: Path) -> None:
    save_profile(profile(result(environment=Environment(best_latency_ns=1))), tmp_path / "p.json")
    fields = json.loads((tmp_path / "p.json").read_text())
    fields["results"][0]["environment"]["best_latency_ns"] = 0
    (tmp_path / "p.json").write_text(json.dumps(fields))
    with pytest.raises(ArtifactError, match="its best latency is 0 ns; what was not measured is left out"):
        ashore.load_profile(tmp_path / "p.json")
