"""What a runner's answers say, read with distrust: each function raises ProtocolError for anything unexpected."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import numpy as np

from ashore.types.reading import MemoryReading, OpTime, OpTimes, PaceReading
from ashore_runtimes.wire.facts import TensorFacts
from ashore_runtimes.wire.frames import ProtocolError

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Hello:
    """``runner`` is ``native`` or ``python``; ``memory`` is None where the system does not say."""

    runner: str
    engine: str
    engine_version: str
    memory: MemoryReading | None


@dataclass(frozen=True)
class Loaded:
    inputs: list[TensorFacts]
    outputs: list[TensorFacts]
    load_ns: int
    memory: MemoryReading | None
    planned_bytes: int | None


@dataclass(frozen=True)
class Failure:
    """``fault`` is one of ``Fault``'s words, or one that this version does not know."""

    fault: str
    message: str


def _distrustful(read: Callable[_P, _T]) -> Callable[_P, _T]:
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return read(*args, **kwargs)
        except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
            raise ProtocolError(f"an answer that cannot be read ({type(error).__name__}: {error})") from error

    return checked


@_distrustful
def read_hello(body: bytes) -> Hello:
    fields = json.loads(body)
    return Hello(
        str(fields["runner"]), str(fields["engine"]), str(fields["engine_version"]), _memory(fields.get("memory"))
    )


@_distrustful
def read_loaded(body: bytes) -> Loaded:
    fields = json.loads(body)
    planned_bytes = fields.get("planned_bytes")
    return Loaded(
        [_tensor(each) for each in fields["inputs"]],
        [_tensor(each) for each in fields["outputs"]],
        int(fields["load_ns"]),
        _memory(fields.get("memory")),
        None if planned_bytes is None else int(planned_bytes),
    )


@_distrustful
def read_failure(body: bytes) -> Failure:
    fields = json.loads(body)
    return Failure(str(fields["error"]), str(fields["message"]))


@_distrustful
def read_repeated(body: bytes, runs: int) -> list[int]:
    return list(struct.unpack(f"<{runs}Q", body))


@_distrustful
def read_pace(body: bytes) -> PaceReading:
    fields = json.loads(body)
    rounds_ns = tuple(int(ns) for ns in fields["rounds_ns"])
    if not rounds_ns or min(rounds_ns) < 1:
        raise ValueError(f"rounds of {rounds_ns} ns")
    return PaceReading(str(fields["work"]), rounds_ns)


@_distrustful
def read_memory(body: bytes) -> MemoryReading | None:
    return _memory(json.loads(body))


@_distrustful
def read_ops(body: bytes) -> OpTimes:
    fields = json.loads(body)
    ops = tuple(
        OpTime(str(op["name"]), str(op["type"]), bool(op["delegated"]), int(op["ns"]), int(op["calls"]))
        for op in fields["ops"]
    )
    return OpTimes(int(fields["runs"]), ops)


def _memory(fields: Any) -> MemoryReading | None:
    """None where the figures that every system with an answer has are missing."""
    if not fields or "rss_bytes" not in fields or "peak_bytes" not in fields:
        return None
    optional = {key: None if fields.get(key) is None else int(fields[key]) for key in ("swap_bytes", "pss_bytes")}
    return MemoryReading(
        rss_bytes=int(fields["rss_bytes"]),
        peak_bytes=int(fields["peak_bytes"]),
        swap_bytes=optional["swap_bytes"],
        pss_bytes=optional["pss_bytes"],
        method=str(fields.get("method", "unknown")),
    )


def _tensor(fields: Any) -> TensorFacts:
    quantization = fields.get("quantization")
    return {
        "name": str(fields["name"]),
        "shape": [int(size) for size in fields["shape"]],
        "dtype": np.dtype(str(fields["dtype"])).name,
        "dynamic": {str(int(axis)): [int(low), int(high)] for axis, (low, high) in fields["dynamic"].items()},
        "quantization": [float(quantization[0]), int(quantization[1])] if quantization else None,
    }
