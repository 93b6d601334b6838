"""The small part of ``make fuzz``: hostile files through every door, in processes whose death would be noticed."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import ashore
from hostile.campaign import Results, Task, carry_out
from hostile.commands_check import COMMANDS, check_command
from hostile.corpus import Case, State, all_cases
from hostile.original import read_originals
from hostile.originals import FEW, make_originals

SHARE = 0.03
WORKERS = 2


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    make_originals(folder, FEW)
    return folder


@pytest.fixture(scope="module")
def results(originals: Path) -> Results:
    tasks = [Task("native", originals, (part, WORKERS), SHARE) for part in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        parts = list(pool.map(carry_out, tasks))
    return Results(
        [each for part in parts for each in part.attempts], [each for part in parts for each in part.violations]
    )


def test_no_file_harms_the_caller_or_gets_past_a_manifest(results: Results) -> None:
    assert not results.violations
    assert results.files > 250
    outcomes = Counter((attempt["state"], attempt["outcome"]) for attempt in results.attempts)
    assert outcomes["vouched", "answer"] == 0
    assert outcomes["vouched", "ChecksumMismatch"] > 50 and outcomes["vouched", "ManifestInvalid"] > 5
    assert outcomes["bare", "ExecutionError"] > 50 and outcomes["sealed", "ArtifactError"] > 5


@pytest.fixture(scope="module")
def cases(originals: Path) -> list[Case]:
    return all_cases(read_originals(originals), SHARE)


def test_the_same_seed_gives_the_same_files(originals: Path, cases: list[Case]) -> None:
    def content(case: Case) -> list[bytes]:
        return [part for part in case.parts.values() if isinstance(part, bytes)]

    again = all_cases(read_originals(originals), SHARE)
    assert [(case.name, case.state, content(case)) for case in cases] == [
        (case.name, case.state, content(case)) for case in again
    ]
    assert len({(case.name, case.state) for case in cases}) == len(cases)


KINDS = {State.BARE: "truncated", State.VOUCHED: "bits in weights", State.SEALED: "golden samples"}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("state", KINDS)
def test_commands_end_with_their_codes_and_one_document(
    originals: Path, cases: list[Case], state: State, command: str
) -> None:
    original = read_originals(originals)[0]
    case = next(
        case
        for case in cases
        if case.state is state and case.kind == KINDS[state] and case.name.startswith(original.stem)
    )
    assert check_command(case, original, command)[1] is None


@pytest.mark.parametrize("stem", FEW)
def test_the_python_runner_contains_them_too(
    originals: Path, cases: list[Case], stem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASHORE_RUNNER", "python")
    numbers = [
        number
        for number, case in enumerate(cases)
        if case.name.startswith(stem) and case.kind in ("bits in graph", "bombs of shapes") and case.state is State.BARE
    ]
    results = carry_out(Task("python", originals, (numbers[0], 10**6), SHARE, doors="run"))
    assert not results.violations
    assert results.attempts


@pytest.mark.parametrize("stem", FEW)
def test_a_mapped_file_does_not_count_as_memory(
    originals: Path, tmp_path: Path, stem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASHORE_RUNNER_MEMORY_MIB", "256")
    original = next(each for each in read_originals(originals) if each.stem == stem)
    file = tmp_path / original.model_name
    file.write_bytes(original.model)
    with file.open("r+b") as opened:
        opened.truncate(1 << 30)
    with ashore.open_session(file, timeout_s=60.0) as session:
        outputs = session.run({spec.name: np.zeros(spec.shape, spec.dtype) for spec in session.inputs})
    assert outputs
