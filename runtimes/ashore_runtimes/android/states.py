"""What adb says of a device it cannot use, in words that tell what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ashore.errors import TargetUnavailable

READY = "device"
MISSING = "missing"
"""Not a word of adb's: it does not know the serial."""
OFFLINE = "offline"
PASSING = frozenset({OFFLINE, "authorizing", "connecting"})
"""What a device also is for a moment after its connection broke or came up."""

_STATES: dict[str, tuple[str, str]] = {
    "unauthorized": (
        "has not allowed this computer to use it (unauthorized)",
        'unlock the phone and accept "Allow USB debugging?" on its screen; where it does not ask, unplug it, run '
        "adb kill-server and plug it in again",
    ),
    "authorizing": ("is still waiting to be allowed (authorizing)", "accept the prompt on the phone's screen"),
    "connecting": ("is still connecting", "run this again in a few seconds"),
    OFFLINE: (
        "does not answer (offline)",
        "wake the phone and plug it in again, or run: adb reconnect offline",
    ),
    "no permissions": (
        "may not be opened by this user (no permissions)",
        "apt-get install android-sdk-platform-tools-common brings the udev rules; then plug the phone in again",
    ),
    MISSING: (
        "is not among the devices that adb sees",
        "plug it in and switch on USB debugging (Settings, Developer options), or adb connect HOST:PORT, until it "
        "shows in: adb devices -l",
    ),
}
_CAUSES = (
    ("device unauthorized", "unauthorized"),
    ("device still authorizing", "authorizing"),
    ("device offline", OFFLINE),
    ("device still connecting", "connecting"),
    ("insufficient permissions", "no permissions"),
    ("no devices/emulators found", MISSING),
)
"""What ``adb -s SERIAL …`` complains of, and the state that it means."""


@dataclass(frozen=True)
class Line:
    """One line of ``adb devices -l``; ``state`` is ``READY`` where all is well."""

    serial: str
    state: str


def read_list(printed: str) -> Iterator[Line]:
    """The lines of what ``adb devices -l`` printed, which may begin with news of the server's start."""
    for line in printed.partition("List of devices attached")[2].splitlines():
        serial, _, rest = line.strip().partition(" ")
        if serial:
            yield Line(serial, _state(rest.strip()))


def _state(rest: str) -> str:
    return "no permissions" if rest.startswith("no permissions") else rest.partition(" ")[0]


def state_in(complaint: str) -> str | None:
    """The state that made adb refuse, where ``complaint`` tells."""
    for words, state in _CAUSES:
        if words in complaint:
            return state
    return MISSING if "error: device '" in complaint and "' not found" in complaint else None


def unreachable(serial: str, state: str, doing: str = "") -> TargetUnavailable | None:
    """The error for a device in ``state``, with the remedy; None where it is ready."""
    if state == READY:
        return None
    trouble, hint = _STATES.get(state, (f"is in the state {state!r}, not in Android", f"adb -s {serial} reboot"))
    return TargetUnavailable(f"{serial} {trouble}{f', while {doing}' if doing else ''}", hint)
