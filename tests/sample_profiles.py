"""Profiles as ``ashore profile`` could have measured them, the same every time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ashore.types.conversion import Delegation, UndelegatedOp
from ashore.types.profile import (
    ColdRepeat,
    CoreFrequency,
    CurvePoint,
    Environment,
    InstructionCounts,
    Load,
    Memory,
    Mode,
    OpCost,
    OpsPass,
    ParityFigures,
    Profile,
    ProfiledArtifact,
    ProfiledTarget,
    Result,
    Settings,
    Sustained,
    Temperature,
)
from ashore.types.target import TargetKind

MS, MB = 1_000_000, 1_000_000
HOST = ProfiledTarget("host", TargetKind.HOST, "Xeon at 2.50GHz", "x86_64", "Linux 6.1", "1.5.1", "native", 4)
EMULATOR = ProfiledTarget("emulator:cortex-a76", TargetKind.EMULATOR, "cortex-a76", "arm64", "Linux", "1.5.1", "native")
DEVICE = ProfiledTarget("adb:4711", TargetKind.DEVICE, "Tensor G2", "arm64-v8a", "Android 15", "1.5.1", "native", 8)
QUIET = Environment(
    "performance",
    tuple(CoreFrequency(core, 2_500_000, 800_000, 3_100_000) for core in range(4)),
    Temperature(41.0, 55.0),
    Load(0.2, 0.9, 4, others=0.03, stolen=0.0, throttled_ns=0, throttle_events=0),
)


def artifact(name: str, backend: str, precision: str, size_mb: float, sqnr_db: float, top1: float) -> ProfiledArtifact:
    parity = ParityFigures(200, sqnr_db, 0.999, 0.1, 0, 0, 15.0, top1)
    delegation = (
        Delegation(98, 100, 1, (UndelegatedOp("aten.mean", 2),)) if precision == "int8" else Delegation(99, 99, 1)
    )
    sha256 = f"{abs(hash_of(name + backend + precision)):064x}"[-64:]
    size = round(size_mb * MB)
    return ProfiledArtifact(name, backend, sha256, size, precision, round(0.92 * size), parity, delegation)


def hash_of(text: str) -> int:
    return int.from_bytes(text.encode().rjust(32, b"."), "big")


FILES = (
    artifact("mobilenet_v2", "executorch", "fp32", 14.02, 116.0, 1.0),
    artifact("mobilenet_v2", "litert", "fp32", 13.98, 115.5, 1.0),
    artifact("mobilenet_v2", "executorch", "int8", 3.78, 21.9, 0.93),
    artifact("mobilenet_v2", "litert", "int8", 3.97, 21.6, 0.935),
)
MEDIANS_MS = (13.3, 11.5, 14.2, 13.2)


def samples(median_ms: float, runs: int, seed: int) -> tuple[int, ...]:
    """Mostly close to the median, with the long tail that clocks show."""
    generator = np.random.default_rng(seed)
    drawn = median_ms * (1 + generator.gamma(1.5, 0.012, runs) - 0.012)
    drawn[generator.random(runs) < 0.03] *= 1.7
    return tuple(round(value * MS) for value in drawn)


def on_host(file: ProfiledArtifact, median_ms: float, threads: int = 1, *, runs: int = 20, seed: int = 1) -> Result:
    """Three processes with ``runs`` each."""
    latency = samples(median_ms, 3 * runs, seed)
    repeat = ColdRepeat(round(41.3 * MS), round(1.6 * median_ms * MS), runs)
    base = 31 * MB + (12 * MB if file.backend == "executorch" else 0)
    loaded = base + round(1.4 * file.bytes)
    mode = Mode.THOROUGH if runs > 300 else Mode.FAST
    return Result(
        file,
        HOST,
        Settings(mode, threads, warmup=3, runs=runs, repeats=3),
        load_ns=repeat.load_ns,
        first_run_ns=repeat.first_run_ns,
        latency_ns=latency,
        repeats=(repeat, repeat, repeat),
        memory=Memory(base, loaded, loaded + 9_800_000, "/proc/self/status", planned_bytes=6_400_000),
        environment=QUIET,
        skipped={"instructions": "this target does not count instructions"},
    )


def emulated(file: ProfiledArtifact, per_run: int) -> Result:
    parts = {"dot_product": 0.34, "neon": 0.21, "float_fma": 0.02, "memory": 0.28, "other": 0.15}
    counts = {name: round(share * per_run) for name, share in parts.items()}
    counts["other"] += per_run - sum(counts.values())
    why = "the emulator's own time, which says nothing about the model's on a real processor"
    return Result(
        file,
        EMULATOR,
        Settings(Mode.FAST, 1, warmup=3, runs=20),
        memory=Memory(11 * MB, 17 * MB, 24 * MB, "/proc/self/status"),
        instructions=InstructionCounts(per_run, counts, (per_run, per_run, per_run + 40), "QEMU plugin"),
        skipped=dict.fromkeys(("latency_ns", "load_ns", "first_run_ns", "ops", "sustained"), why),
    )


def with_ops(result: Result) -> Result:
    """The operators explain 97 % of ten runs."""
    run_ns = round(1.05 * float(np.median(result.latency_ns or (1,))))
    shares = [0.42, 0.2, 0.11, 0.07, 0.06, 0.04, 0.02, 0.02, 0.01, *[0.002] * 10]
    names = ["features.1.conv", "features.0.0", "features.14.conv.1", "classifier.1", "features.18.0"]
    ops = [
        OpCost(f"Convolution (NHWC, QC8) {index}", "conv2d", index not in (3, 6), round(share * run_ns) * 10, 10,
               names[index % 5] if index < 8 else None)
        for index, share in enumerate(shares)
    ]  # fmt: skip
    return replace(result, ops=tuple(ops), ops_pass=OpsPass((run_ns,) * 10))


def with_curve(result: Result, slower: float = 1.3) -> Result:
    """Five minutes that end ``slower`` times slower than they began."""
    median = float(np.median(result.latency_ns or (1,)))
    points = []
    for index in range(60):
        heat = 1 + (slower - 1) * min(max(index - 12, 0) / 25, 1)
        wobble = 1 + 0.01 * np.sin(index * 2.1)
        points.append(CurvePoint(index * 5.0, 5.0, 300, round(median * heat * wobble), round(1.06 * median * heat)))
    return replace(result, sustained=Sustained(5.0, tuple(points)))


def demo_profile() -> Profile:
    """Four artifacts on the host with one and two threads, and emulated."""
    results = []
    for index, (file, median) in enumerate(zip(FILES, MEDIANS_MS, strict=True)):
        one = with_curve(with_ops(on_host(file, median, seed=10 + index)), slower=1.02 + 0.12 * index)
        two = on_host(file, median / (1.9 - 0.12 * index), 2, seed=20 + index)
        results += [one, two, emulated(file, (812, 790, 268, 255)[index] * MS)]
    noisy = "noisy: single runs scatter by 9 % around the median, 5 % is quiet"
    results[1] = replace(results[1], warnings=(noisy,))
    results[4] = replace(results[4], warnings=(noisy,))
    return Profile(tuple(results), "2026-11-25T22:37:48+00:00", {"ashore": "0.1.0", "python": "3.11.2"})


def small_profile() -> Profile:
    """One file on the host and emulated, one that ashore did not make."""
    bare = ProfiledArtifact("stock", "litert", "ab" * 32, 4_000_000)
    base = replace(on_host(FILES[2], 14.2, runs=4), warnings=("noisy: runs scatter by 9 %, 5 % is quiet",))
    unknown = Result(
        bare, HOST, base.settings, skipped={"parity": "the file has no manifest", "memory": "it | crashed"}
    )
    return Profile((base, unknown, emulated(FILES[2], 268 * MS)), "2026-11-25T22:37:48+00:00", {"ashore": "0.1.0"})
