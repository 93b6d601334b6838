"""What a device says of itself: its name, Android, processor and memory."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ashore_runtimes.android.client import Device

_PROPERTIES = (
    "ro.product.manufacturer",
    "ro.product.model",
    "ro.product.cpu.abi",
    "ro.product.cpu.abilist",
    "ro.build.version.release",
    "ro.soc.manufacturer",
    "ro.soc.model",
    "ro.board.platform",
)
_CORES = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd0d": "Cortex-A77",
    "0xd41": "Cortex-A78",
    "0xd44": "Cortex-X1",
    "0xd46": "Cortex-A510",
    "0xd47": "Cortex-A710",
    "0xd48": "Cortex-X2",
    "0xd4d": "Cortex-A715",
    "0xd4e": "Cortex-X3",
    "0xd80": "Cortex-A520",
    "0xd81": "Cortex-A720",
    "0xd82": "Cortex-X4",
}
"""Arm's part numbers (implementer 0x41), as /proc/cpuinfo gives them."""
_ARM = "0x41"
_SECTION = "ashore-section"
ARM64 = "arm64"
_ANDROIDS_ARM64 = "arm64-v8a"


@dataclass(frozen=True)
class DeviceFacts:
    """``cpu`` is the chip and its cores by kind; ``abi`` what its programs are; ``os`` Android's version on what.

    Numbers are 0 where they are not known.
    """

    cpu: str
    cores: int
    memory_bytes: int
    abi: str
    os: str

    @classmethod
    def unknown(cls) -> DeviceFacts:
        return cls("unknown", 0, 0, "unknown", "unknown")


def read_facts(device: Device) -> DeviceFacts:
    """One question to the device. Raises as ``Device.ask``."""
    properties = "; ".join(f'echo "$(getprop {name})"' for name in _PROPERTIES)
    script = f"{properties}; echo {_SECTION}; cat /proc/meminfo; echo {_SECTION}; cat /proc/cpuinfo"
    _, printed = device.ask(script, "asking what it is")
    values, memory, cpu = [*printed.split(f"{_SECTION}\n"), "", ""][:3]
    return _facts(dict(zip(_PROPERTIES, values.splitlines(), strict=False)), memory, cpu)


def _facts(values: Mapping[str, str], meminfo: str, cpuinfo: str) -> DeviceFacts:
    def value(name: str) -> str:
        return values.get(name, "").strip()

    total = re.search(r"^MemTotal:\s*(\d+) kB", meminfo, re.MULTILINE)
    chip = f"{value('ro.soc.manufacturer')} {value('ro.soc.model')}".strip() or value("ro.board.platform")
    cores = _cores(cpuinfo)
    name = f"{value('ro.product.manufacturer')} {value('ro.product.model')}".strip()
    return DeviceFacts(
        cpu=f"{chip} ({_describe(cores)})" if cores else chip or "unknown",
        cores=cores.total(),
        memory_bytes=int(total[1]) * 1024 if total else 0,
        abi=_abi(value("ro.product.cpu.abilist").split(","), value("ro.product.cpu.abi")),
        os=f"Android {value('ro.build.version.release')}, {name}",
    )


def _abi(all_abis: Sequence[str], first: str) -> str:
    """A device that runs 64-bit programs besides 32-bit ones counts as 64-bit."""
    return ARM64 if _ANDROIDS_ARM64 in (*all_abis, first) else first or "unknown"


def _cores(cpuinfo: str) -> Counter[str]:
    """How many cores of each kind; kinds without a name here are called by their numbers."""
    found: Counter[str] = Counter()
    for block in cpuinfo.split("\n\n"):
        fields = dict(re.findall(r"^([^:\t]+?)\s*: *(.*)$", block, re.MULTILINE))
        if "processor" in fields:
            maker, part = fields.get("CPU implementer", "?"), fields.get("CPU part", "?")
            found[_CORES.get(part, f"part {part}") if maker == _ARM else f"{maker}/{part}"] += 1
    return found


def _describe(cores: Counter[str]) -> str:
    return " + ".join(f"{count}x {name}" for name, count in cores.items())
