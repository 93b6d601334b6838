"""What a phone can be told to do wrong."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass
class Faults:
    """All is well by default. Sizes are in bytes and count from the start of what they cut short."""

    unauthorized: bool = False
    """Nobody taps "allow" on the screen. Looked at when a connection is made."""
    free_bytes: int | None = None
    """Space left for pushed files."""
    cut_push_after: int | None = None
    """The connection breaks in the middle of a pushed file, whose first part stays on the disk."""
    stall_push_after: int | None = None
    """The phone stops reading in the middle of a pushed file."""
    damage_pushed: str = ""
    """Of pushed files whose path contains this, one byte reaches the disk altered."""
    hang_runner: bool = False
    """The runner starts and never says a word."""
    hang_shell: bool = False
    """No command answers any more."""
    truncate_output_after: int | None = None
    """The runner's answers stop there, and its stream ends as if all were well."""
    mute_runner: int = 0
    """The runner's answers are held back from there on, so that a request stays under way."""
    without: tuple[str, ...] = ()
    """Programs that this phone does not have."""

    def clear(self) -> None:
        for field in dataclasses.fields(self):
            setattr(self, field.name, field.default)
