"""The pace of the machine: learnt from its profiles, told where it was slow though steady, and kept in them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ashore
from ashore import ArtifactError
from ashore.errors import EngineCrashed
from ashore.profiling import paces
from ashore.profiling.paces import learn_best
from ashore.profiling.profiles import save_profile
from ashore.types.profile import Environment, Pace
from ashore.types.target import TargetKind
from fake_costs import Costs
from fakes import FakeSession, FakeTarget
from handmade import at_pace, profile, result, target

US = 1000
WORK = "imagined"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASHORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still until a test moves it."""
    seconds = [60.0 * 1_000_000]
    monkeypatch.setattr(paces.time, "time", lambda: seconds[0])
    return seconds


@pytest.fixture
def known(costs: Any, model: Path) -> Costs:
    found: Costs = costs(model.name)
    found.pace_ns = 150 * US
    return found


def of_pace(warnings: tuple[str, ...]) -> list[str]:
    return [warning for warning in warnings if warning.startswith("slow:")]


def learned(pace_us: float, work: str = WORK, **machine: Any) -> int:
    return learn_best(target(**machine), work, [pace_us * US])


def test_a_machine_slow_but_steady_is_told(model: Path, known: Costs) -> None:
    (quiet,) = ashore.profile(model).results
    known.pace_ns = 213 * US
    (slow,) = ashore.profile(model).results
    assert of_pace(quiet.warnings) == []
    assert of_pace(slow.warnings) == [
        "slow: the machine ran 42% slower than its best (213 µs for what took 150 µs), 3% is quiet; profile again when "
        "its neighbours are"
    ]
    assert slow.environment.pace == Pace(WORK, (213 * US,) * 8 * 5 * 3, 150 * US)


@pytest.mark.parametrize("pace_us", [140, 150, 154])
def test_a_machine_about_as_fast_as_ever_is_not(model: Path, known: Costs, pace_us: int) -> None:
    ashore.profile(model)
    known.pace_ns = pace_us * US
    assert of_pace(ashore.profile(model).results[0].warnings) == []


def test_the_pace_is_taken_before_between_and_after_the_timed_runs(
    model: Path, known: Costs, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    pace, repeat = FakeSession.pace, FakeSession.repeat
    monkeypatch.setattr(FakeSession, "pace", lambda self: steps.append("pace") or pace(self))
    monkeypatch.setattr(FakeSession, "repeat", lambda self, runs: steps.append(str(runs)) or repeat(self, runs))
    del known
    ashore.profile(model)
    one_process = ["pace", "3", "5", "pace", "1", "5", "pace", "1", "5", "pace", "1", "5", "pace"]
    assert steps[: len(one_process)] == one_process, "after each, warm-ups come first"
    assert steps.count("pace") == 15


def test_a_round_in_which_another_process_ran_does_not_count() -> None:
    rounds = tuple(US * pace for pace in (150, 150, 149, 150, 4000, 150, 150, 9000))
    assert paces.pace_ns(Pace(WORK, rounds, 150 * US)) == 150 * US


def test_what_does_not_tell_its_pace_is_absent_with_the_reason(model: Path, costs: Any, cache: Path) -> None:
    costs(model.name).pace_ns = None
    (measured,) = ashore.profile(model).results
    assert measured.environment.pace is None
    assert measured.skipped["environment.pace"] == "this runner does not tell the machine's pace"
    assert len(list((cache / "paces").iterdir())) == 1, "that of the file itself"


def test_a_session_of_a_plug_in_need_not_tell(model: Path, known: Costs, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        """What ``ashore.interfaces.Session`` asks for, and no more."""

        def __init__(self, session: FakeSession) -> None:
            self._session = session

        def __enter__(self) -> Silent:
            return self

        def __exit__(self, *_: object) -> None: ...

        def __getattr__(self, name: str) -> Any:
            if name == "pace":
                raise AttributeError(name)
            return getattr(self._session, name)

    del known
    opened = FakeTarget.open
    monkeypatch.setattr(FakeTarget, "open", lambda *words, **more: Silent(opened(*words, **more)))
    (measured,) = ashore.profile(model).results
    assert measured.skipped["environment.pace"] == "this target does not tell the pace of its machine"


def test_a_runner_that_dies_of_it_is_an_error(model: Path, known: Costs, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_: FakeSession) -> None:
        raise EngineCrashed("it was killed by SIGKILL", "free some memory")

    del known
    monkeypatch.setattr(FakeSession, "pace", crash)
    with pytest.raises(EngineCrashed, match="killed by SIGKILL"):
        ashore.profile(model)


def test_emulators_are_not_asked(model: Path, known: Costs, places: dict[str, FakeTarget], cache: Path) -> None:
    del known
    places["emulator:a76"] = FakeTarget("emulator:a76", TargetKind.EMULATOR)
    (emulated,) = ashore.profile(model, targets=["emulator:a76"]).results
    assert emulated.environment == Environment()
    assert not cache.exists()


def test_each_machine_and_each_work_has_a_best_of_its_own() -> None:
    assert learned(150) == 150 * US
    assert learned(200) == 150 * US
    assert learned(200, cpu="another") == learned(200, cores=64) == learned(200, work="another") == 200 * US


def test_a_lucky_moment_is_not_the_best(now: list[float]) -> None:
    for minute in range(40):
        now[0] += 60
        learned(120 if minute == 7 else 150)
    assert learned(150) == 150 * US


def test_a_loop_of_profiles_in_a_slow_phase_does_not_outvote_the_time_before(now: list[float]) -> None:
    for _ in range(30):
        now[0] += 60
        learned(150)
    assert {learned(213) for _ in range(500)} == {150 * US}


def test_a_machine_that_changed_for_good_is_learnt_anew(now: list[float]) -> None:
    learned(150)
    for _ in range(1100):
        now[0] += 60
        best = learned(200)
    assert best == 200 * US


def test_the_file_does_not_grow_for_ever(now: list[float], cache: Path) -> None:
    for _ in range(4500):
        now[0] += 60
        learned(150)
    (file,) = (cache / "paces").iterdir()
    assert 1000 < len(file.read_text().splitlines()) <= 4000


@pytest.mark.parametrize(
    "content", [b"", b"\x00\xff\xfe" * 99, b"{}\n", b"28 0\n", b"28 -3\n28 7", b"9" * 99 + b" 1\n"]
)
def test_a_file_that_is_damaged_is_passed_over(cache: Path, content: bytes) -> None:
    learned(150)
    (file,) = (cache / "paces").iterdir()
    file.write_bytes(content)
    assert learned(213) == 213 * US
    assert learned(150) == 150 * US


def test_where_nothing_can_be_written_there_is_no_best_and_no_failure(model: Path, known: Costs, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    for pace_us in (150, 213):
        known.pace_ns = pace_us * US
        (measured,) = ashore.profile(model).results
        assert measured.environment.pace and measured.environment.pace.best_ns == pace_us * US
        assert of_pace(measured.warnings) == []


def test_processes_that_learn_at_once_lose_no_line(cache: Path) -> None:
    script = (
        "import sys; from ashore.profiling.paces import learn_best; from handmade import target\n"
        "for index in range(300): learn_best(target(), 'imagined', [150_000 + index])"
    )
    path = [str(Path(__file__).parents[1]), *sys.path]
    words = [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{script}"]
    both = [subprocess.Popen(words) for _ in range(2)]
    assert [each.wait(120) for each in both] == [0, 0]
    (file,) = (cache / "paces").iterdir()
    found = sorted(int(line.split()[1]) for line in file.read_text().splitlines())
    assert found == sorted([150_000 + index for index in range(300)] * 2)


def test_a_profile_keeps_its_pace_and_one_from_before_has_none(tmp_path: Path) -> None:
    kept = profile(at_pace(160))
    save_profile(kept, tmp_path / "new.json")
    assert ashore.load_profile(tmp_path / "new.json") == kept
    fields = json.loads((tmp_path / "new.json").read_text())
    del fields["results"][0]["environment"]["pace"]
    (tmp_path / "old.json").write_text(json.dumps(fields))
    assert ashore.load_profile(tmp_path / "old.json") == profile(result())


@pytest.mark.parametrize("change", [{"rounds_ns": []}, {"rounds_ns": [0, 5]}, {"best_ns": 0}])
def test_a_pace_that_no_clock_gives_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    save_profile(profile(at_pace(160)), tmp_path / "p.json")
    fields = json.loads((tmp_path / "p.json").read_text())
    fields["results"][0]["environment"]["pace"] |= change
    (tmp_path / "p.json").write_text(json.dumps(fields))
    with pytest.raises(ArtifactError, match="its pace has no rounds, or one of 0 ns"):
        ashore.load_profile(tmp_path / "p.json")
