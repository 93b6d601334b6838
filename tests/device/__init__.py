"""Phones for tests: daemons on loopback that speak adb's device protocol to the real ``adb`` client.

Each has a folder of its own that stands for its file system, runs commands through a real shell (the phones' own mksh
and toybox where they are installed) and executes arm64 programs under qemu. It can be told to fail in many ways.
"""

from device.faults import Faults
from device.phone import Phone
from device.server import AdbServer

__all__ = ["AdbServer", "Faults", "Phone"]
