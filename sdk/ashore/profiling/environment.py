"""What the machine did while something was measured on it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TypeVar

from ashore.errors import EngineCrashed, ExecutionError
from ashore.interfaces import Session, TellsPace
from ashore.profiling import machine
from ashore.profiling.machine import Counters, ReadText
from ashore.types.profile import Environment, Load, Temperature

_Number = TypeVar("_Number", int, float)
_LEAST_WINDOW_S = 0.35
"""Kernels count time in hundredths of a second: one of them, in less than this, would look like a disturbance."""
_ABSENT = {
    "governor": "the system does not show the governor of its processor (/sys/devices/system/cpu/cpu0/cpufreq)",
    "frequencies": "the system does not show the clocks of its processor (/sys/devices/system/cpu/cpu0/cpufreq)",
    "temperature": "no temperature sensor can be read (/sys/class/thermal, /sys/class/hwmon)",
    "load": "the system does not tell its load (/proc/loadavg)",
}


@dataclass(frozen=True)
class _Window:
    """What was counted between its ends; ``own_s`` is the processor time that the measuring itself took."""

    counted: Counters
    own_s: float | None


@dataclass
class Watch:
    """Adds up the windows of time in which something was measured.

    Args:
        read: how files of the measured machine are read; None where they cannot be.
        cores: of that machine.
    """

    read: ReadText | None
    cores: int
    _windows: list[_Window] = field(default_factory=list)
    _began: tuple[Counters, float] | None = None
    _first: tuple[float | None, float | None] = (None, None)
    _last: Environment = field(default_factory=Environment)

    def begin(self) -> None:
        """A window opens; the measured process is not there yet."""
        if self.read is None:
            return
        if not self._windows:
            self._first = machine.load_average(self.read), machine.temperature_celsius(self.read)
        self._began = machine.counters(self.read, self.cores), time.process_time()

    def end(self, pid: int | None) -> None:
        """The window closes; ``pid`` is the measured process, alive, or None where it is not of this machine."""
        if self.read is None or self._began is None:
            return
        before, own_before = self._began
        after = machine.counters(self.read, self.cores)
        child_s = None if pid is None else machine.process_seconds(pid)
        own_s = None if child_s is None else time.process_time() - own_before + child_s
        self._windows.append(_Window(after.since(before), own_s))
        self._last = Environment(
            machine.governor(self.read, self.cores),
            machine.frequencies(self.read, self.cores),
            self._temperature(self.read),
            self._load(self.read),
        )

    def environment(self) -> tuple[Environment, dict[str, str]]:
        """What was seen, and why the rest is absent."""
        if self.read is None:
            return Environment(), {"environment": "this target offers no way to read the state of its machine"}
        absent = {f"environment.{name}": why for name, why in _ABSENT.items() if getattr(self._last, name) is None}
        return self._last, absent

    def _temperature(self, read: ReadText) -> Temperature | None:
        before, after = self._first[1], machine.temperature_celsius(read)
        return None if before is None or after is None else Temperature(before, after)

    def _load(self, read: ReadText) -> Load | None:
        before, after = self._first[0], machine.load_average(read)
        if before is None or after is None:
            return None
        return Load(
            before,
            after,
            machine.core_count(read) or self.cores,
            others=self._others(),
            stolen=self._per_second(_total([window.counted.stolen_s for window in self._windows])),
            throttled_ns=_total([window.counted.throttled_ns for window in self._windows]),
            throttle_events=_total([window.counted.throttle_events for window in self._windows]),
        )

    def _others(self) -> float | None:
        busy = _total([window.counted.busy_s for window in self._windows])
        own = _total([window.own_s for window in self._windows])
        return None if busy is None or own is None else self._per_second(max(0.0, busy - own))

    def _per_second(self, seconds: float | None) -> float | None:
        wall = sum(window.counted.wall_s for window in self._windows)
        return None if seconds is None or wall < _LEAST_WINDOW_S else seconds / wall


@dataclass
class PaceWatch:
    """Collects the machine's pace from the sessions of one result; ``absent`` says why there is none."""

    work: str = ""
    rounds_ns: list[int] = field(default_factory=list)
    absent: str | None = None

    def take(self, session: Session) -> None:
        """Raises EngineCrashed where the session ends of it."""
        if self.absent is not None:
            return
        if not isinstance(session, TellsPace):
            self.absent = "this target does not tell the pace of its machine"
            return
        try:
            reading = session.pace()
        except EngineCrashed:
            raise
        except ExecutionError as error:
            self.absent = error.message.splitlines()[0]
            return
        self.work = reading.work
        self.rounds_ns += reading.rounds_ns


def _total(values: list[_Number | None]) -> _Number | None:
    """None where one of them is unknown."""
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known and len(known) == len(values) else None
