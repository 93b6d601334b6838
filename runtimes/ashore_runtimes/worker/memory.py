"""What the system says of this process's memory; nothing where it has no /proc."""

from __future__ import annotations

# Plain words for the paths: to import pathlib takes memory, and would show in what is read here.
_STATUS = "/proc/self/status"
_ROLLUP = "/proc/self/smaps_rollup"
_FIELDS = {"VmRSS": "rss_bytes", "VmHWM": "peak_bytes", "VmSwap": "swap_bytes"}


def read_memory() -> dict[str, int | str]:
    """Fields of MEMORY_IS. Those that are unknown are left out."""
    found: dict[str, int | str] = dict(_read(_STATUS, _FIELDS))
    if not found:
        return {}
    return found | _read(_ROLLUP, {"Pss": "pss_bytes"}) | {"method": _STATUS}


def _read(file: str, fields: dict[str, str]) -> dict[str, int]:
    try:
        with open(file) as text:  # noqa: PTH123
            lines = text.read().splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        key, _, value = line.partition(":")
        if key in fields:
            found[fields[key]] = int(value.split()[0]) * 1024  # "kB" there means KiB
    return found
