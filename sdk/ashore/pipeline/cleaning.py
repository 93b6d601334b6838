"""Remove what ashore left on a target."""

from __future__ import annotations

from ashore import registry
from ashore.errors import UsageError
from ashore.interfaces import Cleans


def clean(target: str) -> str:
    """Remove everything that ashore put on ``target``; what was done, in a sentence.

    Raises:
        UsageError: nothing is ever left on targets of this kind.
        TargetError: there is no such target, or it cannot be reached.
    """
    found = registry.get_target(target)
    if not isinstance(found, Cleans):
        raise UsageError(f"there is nothing to clean on {target}", "only devices (adb:SERIAL) keep what was pushed")
    return found.clean()
