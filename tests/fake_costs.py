"""What fake models cost: figures that a test sets, in place of a clock and a kernel that it cannot."""

from __future__ import annotations

from dataclasses import dataclass, field

from ashore.errors import ExecutionError
from ashore.types.reading import MemoryReading, OpTime, OpTimes, PaceReading

MS, MB = 1_000_000, 1_000_000


@dataclass(frozen=True)
class FakeOp:
    """``share`` of the run's time."""

    name: str
    type: str
    share: float
    delegated: bool = True


@dataclass
class Costs:
    """Of one model file.

    ``jitter``: what single runs deviate, in turns. ``drift``: how much slower every run is than the one before.
    ``processes``: factors of the sessions in the order in which they are opened, over and over. ``gain``: what a second
    thread adds to the speed, 1.0 for all of a core. ``ops_factor``: how much slower runs are whose operators are timed.
    ``pace_ns``: what the machine takes for work that is always the same; None where it does not tell.
    ``refuses``: what the runner cannot tell, ``ops`` or ``memory``. ``opened`` is the log of all sessions.
    """

    run_ns: int = 10 * MS
    first_ns: int = 20 * MS
    load_ns: int = 5 * MS
    jitter: tuple[float, ...] = (0.0, 0.01, -0.01)
    drift: float = 0.0
    processes: tuple[float, ...] = (1.0,)
    gain: float = 1.0
    baseline_bytes: int = 10 * MB
    loaded_bytes: int = 14 * MB
    peak_bytes: int = 20 * MB
    swap_bytes: int = 0
    planned_bytes: int | None = 2 * MB
    ops: tuple[FakeOp, ...] = (FakeOp("conv #1", "Convolution (NHWC, F32) IGEMM", 0.75), FakeOp("add #1", "Add", 0.2))
    ops_factor: float = 1.5
    pace_ns: int | None = None
    refuses: tuple[str, ...] = ()
    opened: list[tuple[int, bool]] = field(default_factory=list)

    def open(self, threads: int, count_ops: bool) -> FakeClock:
        factor = self.processes[len(self.opened) % len(self.processes)] * (self.ops_factor if count_ops else 1.0)
        self.opened.append((threads, count_ops))
        return FakeClock(self, factor / (1 + self.gain * (threads - 1)))


@dataclass
class FakeClock:
    """What one session measures."""

    costs: Costs
    factor: float
    runs: int = 0
    total_ns: int = 0

    def first(self) -> int:
        self.runs, self.total_ns = self.runs + 1, self.total_ns + self.costs.first_ns
        return self.costs.first_ns

    def next(self) -> int:
        deviation = 1 + self.costs.jitter[self.runs % len(self.costs.jitter)]
        ns = round(self.costs.run_ns * self.factor * deviation * (1 + self.costs.drift) ** self.runs)
        self.runs, self.total_ns = self.runs + 1, self.total_ns + ns
        return ns

    def memory(self, resident: int, peak: int) -> MemoryReading:
        if "memory" in self.costs.refuses:
            raise ExecutionError("this system does not tell its memory", "measure elsewhere")
        return MemoryReading(resident, peak, self.costs.swap_bytes, None, "imagined")

    def pace(self) -> PaceReading:
        if self.costs.pace_ns is None:
            raise ExecutionError("this runner does not tell the machine's pace", "take the native one")
        return PaceReading("imagined", (self.costs.pace_ns,) * 8)

    def ops(self) -> OpTimes:
        if "ops" in self.costs.refuses:
            raise ExecutionError("this runner does not time operators", "take the native one")
        ops = [
            OpTime(op.name, op.type, op.delegated, round(op.share * self.total_ns), self.runs) for op in self.costs.ops
        ]
        return OpTimes(self.runs, tuple(ops))


COSTS: dict[str, Costs] = {}


def costs_of(file_name: str) -> Costs:
    return COSTS.setdefault(file_name, Costs())
