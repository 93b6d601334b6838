"""Readings of a Linux machine's state, each from a small file of its own; None where the machine does not say."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ashore.types.profile import CoreFrequency

_Number = TypeVar("_Number", int, float)
ReadText = Callable[[str], str | None]
"""The text of a small file of the measured machine; None where it cannot be read."""

_CPU = "/sys/devices/system/cpu/cpu{core}"
_BATTERY = "/sys/class/power_supply/battery/temp"
_ZONES, _CHIPS, _SENSORS = 32, 8, 8
_PLAUSIBLE_CELSIUS = (1.0, 150.0)
"""Sensors that are not connected show 0 or less, or absurd values."""


def read_local(path: str) -> str | None:
    """A file of this machine."""
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError):
        return None


def governor(read: ReadText, cores: int) -> str | None:
    """Of all cores; several names where they differ."""
    texts = [read(f"{_CPU.format(core=core)}/cpufreq/scaling_governor") for core in range(cores)]
    names = dict.fromkeys(text.strip() for text in texts if text)
    return ", ".join(names) or None


def frequencies(read: ReadText, cores: int) -> tuple[CoreFrequency, ...] | None:
    found = []
    for core in range(cores):
        folder = f"{_CPU.format(core=core)}/cpufreq"
        values = [_integer(read, f"{folder}/scaling_{name}_freq") for name in ("cur", "min", "max")]
        if any(value is not None for value in values):
            found.append(CoreFrequency(core, *values))
    return tuple(found) or None


def temperature_celsius(read: ReadText) -> float | None:
    """The battery's, by which phones throttle; else that of the hottest sensor."""
    battery = _integer(read, _BATTERY)
    if battery is not None:
        return battery / 10
    low, high = _PLAUSIBLE_CELSIUS
    degrees = [value / 1000 for value in _sensors(read) if low <= value / 1000 <= high]
    return max(degrees, default=None)


def core_count(read: ReadText) -> int | None:
    """Cores whose time the system counts; a process may be allowed fewer."""
    return len(re.findall(r"^cpu\d+ ", read("/proc/stat") or "", re.MULTILINE)) or None


def load_average(read: ReadText) -> float | None:
    """Of the last minute."""
    words = (read("/proc/loadavg") or "").split()
    try:
        return float(words[0])
    except (IndexError, ValueError):
        return None


def process_seconds(pid: int) -> float | None:
    """Processor time that a process of this machine has used, in all its threads."""
    text = read_local(f"/proc/{pid}/stat") or ""
    words = text.rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK") if len(words) > 12 else None


@dataclass(frozen=True)
class Counters:
    """What a machine had counted at one moment, since some moment of its own."""

    wall_s: float
    busy_s: float | None
    stolen_s: float | None
    throttled_ns: int | None
    throttle_events: int | None

    def since(self, earlier: Counters) -> Counters:
        """What was counted in between."""
        return Counters(
            self.wall_s - earlier.wall_s,
            _difference(self.busy_s, earlier.busy_s),
            _difference(self.stolen_s, earlier.stolen_s),
            _difference(self.throttled_ns, earlier.throttled_ns),
            _difference(self.throttle_events, earlier.throttle_events),
        )


def _difference(later: _Number | None, earlier: _Number | None) -> _Number | None:
    return None if later is None or earlier is None else later - earlier


def counters(read: ReadText, cores: int) -> Counters:
    busy, stolen = _processor_seconds(read)
    events = [_integer(read, f"{_CPU.format(core=core)}/thermal_throttle/core_throttle_count") for core in range(cores)]
    known = [count for count in events if count is not None]
    return Counters(time.monotonic(), busy, stolen, _throttled_ns(read), sum(known) if known else None)


def _processor_seconds(read: ReadText) -> tuple[float | None, float | None]:
    """Busy and stolen time of all cores together; waiting for disks is idle time."""
    words = (read("/proc/stat") or "").partition("\n")[0].split()
    if len(words) < 9 or words[0] != "cpu":
        return None, None
    user, nice, system, _idle, _waiting, interrupts, soft, stolen = (int(word) for word in words[1:9])
    ticks = os.sysconf("SC_CLK_TCK")  # 100 on every Linux that phones and servers run
    return (user + nice + system + interrupts + soft) / ticks, stolen / ticks


def _throttled_ns(read: ReadText) -> int | None:
    """Time for which a container's quota held its processes back."""
    for path, field, factor in (
        ("/sys/fs/cgroup/cpu.stat", "throttled_usec", 1000),
        ("/sys/fs/cgroup/cpu/cpu.stat", "throttled_time", 1),
    ):
        found = re.search(rf"^{field} (\d+)$", read(path) or "", re.MULTILINE)
        if found:
            return int(found[1]) * factor
    return None


def _sensors(read: ReadText) -> Iterator[int]:
    """Thousandths of a degree."""
    places = [f"thermal/thermal_zone{zone}/temp" for zone in range(_ZONES)]
    places += [f"hwmon/hwmon{chip}/temp{index}_input" for chip in range(_CHIPS) for index in range(1, _SENSORS + 1)]
    for place in places:
        value = _integer(read, f"/sys/class/{place}")
        if value is not None:
            yield value


def _integer(read: ReadText, path: str) -> int | None:
    try:
        return int((read(path) or "").strip())
    except ValueError:
        return None
