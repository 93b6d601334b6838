"""What a session can be asked about the process that runs the model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MemoryReading:
    """Memory of the process that runs a model, at one moment.

    Attributes:
        rss_bytes: resident now.
        peak_bytes: the most that was resident since the process started.
        swap_bytes: swapped out; None where the system does not say.
        pss_bytes: resident, with shared pages counted in shares; None where the system does not say.
        method: where the figures come from, such as ``/proc/self/status``.
    """

    rss_bytes: int
    peak_bytes: int
    swap_bytes: int | None
    pss_bytes: int | None
    method: str


@dataclass(frozen=True)
class OpTime:
    """Time of one operator, or of one call of a delegate, summed over all runs.

    ``delegated`` says whether it ran in the delegate (XNNPACK); ``calls`` how often in all.
    """

    name: str
    type: str
    delegated: bool
    ns: int
    calls: int


@dataclass(frozen=True)
class OpTimes:
    """``ops`` in the order in which the engine runs them, over ``runs`` runs since the model was loaded."""

    runs: int
    ops: tuple[OpTime, ...]


@dataclass(frozen=True)
class PaceReading:
    """How fast the core of the model's process was: nanoseconds of each round of the same ``work``."""

    work: str
    rounds_ns: tuple[int, ...]
