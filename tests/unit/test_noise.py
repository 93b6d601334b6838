"""When the machine was not quiet: each rule warns where it should, and not beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest

import ashore
from ashore.profiling.environment import Watch
from ashore.profiling.noise import disturbances, warnings_of
from ashore.types.profile import Environment, InputsOrigin, Load, Result, Settings, Temperature
from ashore.types.target import TargetKind
from fake_costs import Costs
from fakes import FakeTarget
from handmade import EMULATOR, MS, PHONE, around, result, target

QUIET = Load(0.1, 0.2, 4, others=0.05, stolen=0.0, throttled_ns=0, throttle_events=0)


def loaded(**changes: Any) -> Result:
    return result(environment=Environment(load=replace(QUIET, **changes)))


def hot(celsius: float, **more: Any) -> Result:
    return result(environment=Environment(temperature=Temperature(20.0, celsius)), **more)


def settings(threads: int = 1, **more: Any) -> Settings:
    return replace(result().settings, threads=threads, **more)


@pytest.mark.parametrize(
    "quiet",
    [
        result(),
        result([around(10, jitter=0.03)] * 3),
        result([around(10), around(10.2), around(10.4)]),
        loaded(),
        loaded(others=0.9),
        loaded(others=None, average_before=1.9),
        hot(60.0),
        hot(34.0, target=PHONE),
        result(settings=settings(threads=4)),
        result(None, target=EMULATOR),
        result([[10 * MS] * 5]),
    ],
)
def test_a_quiet_machine_gives_no_warning(quiet: Result) -> None:
    assert warnings_of(quiet) == ()


@pytest.mark.parametrize(
    ("disturbed", "warning"),
    [
        (result([around(10, jitter=0.2)] * 3), "noisy: single runs scatter by 15% around the median, 5% is quiet"),
        (
            result([around(10), around(10), around(12)]),
            "not repeatable: the medians of the 3 processes differ by 20%, 5% is quiet",
        ),
        (loaded(others=1.3), "shared: other processes took 1.3 of 4 cores during the runs"),
        (loaded(others=None, average_before=2.5), "shared: the load average was 2.5 on 4 cores before the runs"),
        (loaded(stolen=0.1), "stolen: the hypervisor took 10% of a core away during the runs"),
        (loaded(throttle_events=3), "throttled: the processor lowered its clock 3 times during the runs"),
        (
            loaded(throttled_ns=50 * MS),
            "throttled: the container's quota held processes back for 50 ms meanwhile",
        ),
        (hot(95.0), "hot: 95 °C after the runs, above 90 °C clocks are lowered"),
        (hot(39.0, target=PHONE), "hot: 39 °C after the runs, above 35 °C clocks are lowered"),
        (result(settings=settings(threads=5)), "5 threads on 4 cores: they wait for each other"),
        (
            result(settings=settings(inputs=InputsOrigin.RANDOM)),
            "measured on pseudo-random inputs, since the file has no golden ones",
        ),
        (
            result(target=replace(target(), runner="python")),
            "the engine ran inside of Python, not in the native runner: load time and memory include Python's own",
        ),
    ],
)
def test_a_disturbance_is_told_with_its_figure_and_its_limit(disturbed: Result, warning: str) -> None:
    assert warnings_of(disturbed) == (warning,)


def test_others_matter_more_where_all_cores_are_needed() -> None:
    few, many = (replace(loaded(others=0.5), settings=settings(threads)) for threads in (1, 4))
    assert warnings_of(few) == ()
    assert warnings_of(many) == ("shared: other processes took 0.5 of 4 cores during the runs",)


def test_runs_that_become_slower_in_every_process_are_told() -> None:
    slowing = [[round(10 * MS * (1 + 0.01 * index)) for index in range(20)]] * 3
    (warning,) = warnings_of(result(slowing, environment=Environment()))[-1:]
    assert warning == (
        "slowing: in every process the last quarter of the runs is at least 15% slower than the first; the processor "
        "was throttled, unless other work grew meanwhile"
    )
    one_steady = [*slowing[:2], [11 * MS] * 20]
    assert not [text for text in warnings_of(result(one_steady)) if text.startswith("slowing")]


def test_disturbances_are_the_warnings_of_noise_by_their_first_words() -> None:
    warnings = ("noisy: 9%", "shared: a", "shared: b", "5 threads on 4 cores: they wait for each other", "slowing: x")
    assert disturbances(warnings) == ["noisy", "shared", "slowing"]


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("jitter", (0.0, 0.3, -0.2), "noisy"),
        ("processes", (1.0, 1.2, 1.5), "not repeatable"),
        ("drift", 0.02, "slowing"),
    ],
)
def test_a_profile_carries_its_warnings(model: Path, costs: Any, field: str, value: Any, kind: str) -> None:
    known: Costs = costs(model.name)
    assert not set(disturbances(ashore.profile(model).results[0].warnings)) - {"shared"}
    known.opened.clear()
    setattr(known, field, value)
    assert kind in disturbances(ashore.profile(model).results[0].warnings)


PHONE_FILES = {
    "/proc/loadavg": "2.50 1.0 0.5 1/100 4711\n",
    "/proc/stat": "cpu  100 0 100 800 0 0 0 0\ncpu0 50 0 50 400 0 0 0 0\ncpu1 50 0 50 400 0 0 0 0\nintr 5\n",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil\n",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1800000\n",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": "300000\n",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "2850000\n",
    "/sys/class/power_supply/battery/temp": "367\n",
    "/sys/class/thermal/thermal_zone0/temp": "51000\n",
}


class ReadablePhone(FakeTarget):
    files: Mapping[str, str] = PHONE_FILES

    def read_text(self, path: str) -> str | None:
        return self.files.get(path)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited; nothing is."""
    from ashore.profiling import cooling

    waits: list[float] = []
    monkeypatch.setattr(cooling.time, "sleep", waits.append)
    return waits


def test_a_hot_phone_is_waited_for(model: Path, places: dict, slept: list[float]) -> None:
    phone = ReadablePhone("adb:1", TargetKind.DEVICE)
    temperatures = iter(["370", "362", *["341"] * 100])
    phone.read_text = lambda path: next(temperatures) if path.endswith("battery/temp") else None  # type: ignore[method-assign]
    places["adb:1"] = phone
    stages: list[str] = []
    (result,) = ashore.profile(model, targets=["adb:1"], progress=stages.append).results
    assert slept == [5.0, 5.0]
    assert "net.fake.fp32 on adb:1, 1 thread: waiting: 37 °C, 35 °C is cool enough" in stages
    assert not [warning for warning in result.warnings if warning.startswith("hot")]


def test_the_wait_is_bounded_and_told(model: Path, places: dict, slept: list[float]) -> None:
    places["adb:1"] = ReadablePhone("adb:1", TargetKind.DEVICE)
    one, two = ashore.profile(model, targets=["adb:1"], threads=[1, 2]).results
    assert sum(slept) == 300.0, "in all, not for every process"
    for measured in (one, two):
        assert "hot: the device did not cool down in 5 minutes of waiting" in measured.warnings


@pytest.mark.usefixtures("slept")
def test_a_phones_state_is_read_on_the_phone(model: Path, places: dict) -> None:
    places["adb:1"] = ReadablePhone("adb:1", TargetKind.DEVICE)
    (result,) = ashore.profile(model, targets=["adb:1"]).results
    environment = result.environment
    assert environment.governor == "schedutil"
    (core,) = environment.frequencies or ()
    assert (core.core, core.current_khz, core.min_khz, core.max_khz) == (0, 1_800_000, 300_000, 2_850_000)
    assert environment.temperature == Temperature(36.7, 36.7)
    assert environment.load and (environment.load.average_before, environment.load.cores) == (2.5, 2)
    assert environment.load.others is None, "our own process there has no number here"
    assert "hot: 37 °C after the runs, above 35 °C clocks are lowered" in result.warnings
    assert "shared: the load average was 2.5 on 2 cores before the runs" in result.warnings
    assert [name for name in result.skipped if name.startswith("environment")] == ["environment.pace"]


def test_what_a_phone_does_not_show_is_absent_with_the_reason(model: Path, places: dict) -> None:
    phone = ReadablePhone("adb:1", TargetKind.DEVICE)
    phone.files = {}
    places["adb:1"] = phone
    places["adb:2"] = FakeTarget("adb:2", TargetKind.DEVICE)
    first, second = ashore.profile(model, targets=["adb:1", "adb:2"]).results
    nothing = Environment(best_latency_ns=round(median(first.latency_ns or ())))
    assert first.environment == second.environment == nothing
    assert first.skipped["environment.temperature"] == (
        "no temperature sensor can be read (/sys/class/thermal, /sys/class/hwmon)"
    )
    assert {name for name in first.skipped if name.startswith("environment")} == {
        f"environment.{name}" for name in ("governor", "frequencies", "temperature", "load", "pace")
    }
    assert second.skipped["environment"] == "this target offers no way to read the state of its machine"


def test_sensors_that_are_not_connected_are_passed_over() -> None:
    files = {f"/sys/class/thermal/thermal_zone{zone}/temp": text for zone, text in enumerate(("-273000", "0", "48500"))}
    files |= {"/sys/class/hwmon/hwmon0/temp1_input": "what", "/proc/loadavg": "0.5 0 0 1/2 3"}
    watch = Watch(files.get, 1)
    watch.begin()
    watch.end(None)
    found, absent = watch.environment()
    assert found.temperature == Temperature(48.5, 48.5)
    assert "environment.temperature" not in absent


def machine(busy: int, stolen: int, throttled_usec: int, events: int) -> dict[str, str]:
    """Files of one core, times in hundredths of a second."""
    return {
        "/proc/loadavg": "1.0 1 1 1/1 1",
        "/proc/stat": f"cpu  {busy} 0 0 9 9 0 0 {stolen} 0 0\ncpu0 {busy} 0 0 9 9 0 0 {stolen} 0 0\n",
        "/sys/fs/cgroup/cpu.stat": f"nr_throttled 3\nthrottled_usec {throttled_usec}\n",
        "/sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": str(events),
    }


def test_windows_add_up_and_what_lies_between_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    from ashore.profiling import machine as readings

    now, files = [0.0], {}
    monkeypatch.setattr(readings.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(readings, "process_seconds", lambda _pid: 0.25)
    watch = Watch(lambda path: files.get(path), 1)
    for start in (0, 5000):
        files = machine(start, start, start, start)
        watch.begin()
        now[0] += 1.0
        files = machine(start + 75, start + 10, start + 2000, start + 1)
        watch.end(4711)
        now[0] += 100.0
    load = watch.environment()[0].load
    assert load
    assert load.stolen == pytest.approx(0.1)
    assert load.others == pytest.approx(0.5, abs=0.05), "0.75 s busy, 0.25 s of it the measured process"
    assert (load.throttled_ns, load.throttle_events, load.cores) == (4_000_000, 2, 1)


@pytest.mark.parametrize(("wall_s", "stolen"), [(0.3, None), (0.4, 0.025)])
def test_a_moment_is_too_short_for_shares(monkeypatch: pytest.MonkeyPatch, wall_s: float, stolen: float | None) -> None:
    from ashore.profiling import machine as readings

    now, files = [0.0], machine(1, 1, 1, 1)
    monkeypatch.setattr(readings.time, "monotonic", lambda: now[0])
    watch = Watch(lambda path: files.get(path), 1)
    watch.begin()
    now[0], files = wall_s, machine(1, 2, 1, 1)
    watch.end(1)
    found = watch.environment()[0]
    assert found.load and found.load.stolen == (stolen and pytest.approx(stolen))
    assert "stolen" not in disturbances(warnings_of(result(environment=found))), "a hundredth of a second is no theft"
