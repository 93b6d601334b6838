"""Speed and memory beside the bare libraries, in one run: ``make bench``.

Machines are noisy, so each figure is taken in turns with what it is compared to, and the ratios are what counts.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
EXAMPLE = f"{HERE.parents[1] / 'examples' / 'mobilenet_v2.py'}:model"
BACKENDS, PRECISIONS = ("executorch", "litert"), ("fp32", "int8")
CONVERSIONS, ROUNDS, RUNS_PER_ROUND = 2, 20, 10


@dataclass(frozen=True)
class Cost:
    """Of one process with its children: wall time in s, largest resident size of one process in MB."""

    wall_s: float
    peak_mb: float


def measure(command: list[str]) -> Cost:
    """Run a command to its end; ``wait4`` accounts for it exactly, whatever else the machine does."""
    probe = "import resource,subprocess,sys;code=subprocess.run(sys.argv[1:],stdout=2).returncode;" + (
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss);sys.exit(code)"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", probe, *command], capture_output=True, text=True)
    wall_s = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return Cost(wall_s, int(done.stdout) / 1024)


def median(costs: list[Cost]) -> Cost:
    return Cost(statistics.median(c.wall_s for c in costs), statistics.median(c.peak_mb for c in costs))


def conversion_rows(folder: Path) -> list[tuple[str, ...]]:
    rows = []
    for backend in BACKENDS:
        for precision in PRECISIONS:
            bare_command = [
                sys.executable,
                str(HERE / "bare.py"),
                backend,
                precision,
                str(folder / f"stock.{backend}.{precision}"),
            ]
            words = ["convert", EXAMPLE, "--to", backend, "--precision", precision, "-o", str(folder / "out")]
            ours_command = [sys.executable, "-c", "from ashore.cli import main; main()", *words]
            turns = [(measure(bare_command), measure(ours_command)) for _ in range(CONVERSIONS)]
            bare, ours = median([turn[0] for turn in turns]), median([turn[1] for turn in turns])
            rows.append(_conversion_row(f"{backend} {precision}", bare, ours))
    return rows


def _conversion_row(title: str, bare: Cost, ours: Cost) -> tuple[str, ...]:
    wall = (f"{bare.wall_s:.1f}", f"{ours.wall_s:.1f}", f"{ours.wall_s / bare.wall_s:.2f}")
    return (title, *wall, f"{bare.peak_mb:.0f}", f"{ours.peak_mb:.0f}", f"{ours.peak_mb / bare.peak_mb:.2f}")


def session_rows(folder: Path) -> list[tuple[str, ...]]:
    """A session's run against the same library in this process, on the same picture, at one thread."""
    import ashore

    picture = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    rows = []
    for backend, suffix in (("executorch", "pte"), ("litert", "tflite")):
        for precision in PRECISIONS:
            path = folder / "out" / f"mobilenet_v2.{backend}.{precision}.{suffix}"
            bare_run = BARE[backend](path, picture)
            with ashore.open_session(path, threads=1) as session:
                name = session.inputs[0].name
                bare_us, ours_us = in_turns(bare_run, lambda run=session.run, name=name: run({name: picture}))
            cells = (f"{bare_us:.0f}", f"{ours_us:.0f}", f"{ours_us - bare_us:.0f}", f"{ours_us / bare_us:.3f}")
            rows.append((f"{backend} {precision}", *cells))
    return rows


def stock_rows(folder: Path) -> list[tuple[str, ...]]:
    """ashore's int8 file against the one the library's own default makes, both in this process at one thread."""
    picture = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    rows = []
    for backend, suffix in (("executorch", "pte"), ("litert", "tflite")):
        stock = BARE[backend](folder / f"stock.{backend}.int8", picture)
        ours = BARE[backend](folder / "out" / f"mobilenet_v2.{backend}.int8.{suffix}", picture)
        stock_us, ours_us = in_turns(stock, ours)
        rows.append((backend, f"{stock_us:.0f}", f"{ours_us:.0f}", f"{ours_us / stock_us:.3f}"))
    return rows


def in_turns(first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
    """Median microseconds of each, measured in alternating rounds."""
    samples: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for run, kept in zip((first, second), samples, strict=True):
            run()
            for _ in range(RUNS_PER_ROUND):
                start = time.perf_counter_ns()
                run()
                kept.append((time.perf_counter_ns() - start) / 1000)
    return statistics.median(samples[0]), statistics.median(samples[1])


def bare_executorch(path: Path, picture: NDArray[np.float32]) -> Callable[[], object]:
    import executorch.kernels.quantized  # noqa: F401
    import torch
    from executorch.extension.pybindings import portable_lib

    portable_lib._unsafe_reset_threadpool(1)
    module = portable_lib._load_for_executorch(str(path))
    tensor = torch.from_numpy(picture)
    return lambda: module.forward([tensor])[0].numpy()


def bare_litert(path: Path, picture: NDArray[np.float32]) -> Callable[[], object]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]
    if entry["dtype"] is np.int8:  # the stock recipe leaves the edge in int8: the picture is quantized beforehand
        scale, zero = entry["quantization"]
        picture = np.clip(np.rint(picture / scale) + zero, -128, 127).astype(np.int8)
    put, take = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run() -> object:
        interpreter.set_tensor(put, picture)
        interpreter.invoke()
        return interpreter.get_tensor(take)

    return run


BARE = {"executorch": bare_executorch, "litert": bare_litert}


def help_rows() -> list[tuple[str, ...]]:
    command = [sys.executable, "-c", "from ashore.cli import main; main()", "--help"]
    python = [sys.executable, "-c", "pass"]
    turns = [(measure(python), measure(command)) for _ in range(9)]
    bare, ours = median([turn[0] for turn in turns]), median([turn[1] for turn in turns])
    return [(f"{bare.wall_s:.3f}", f"{ours.wall_s:.3f}")]


def show(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        conversions = conversion_rows(folder)
        columns = ("conversion", "bare s", "ashore s", "ratio", "bare MB", "ashore MB", "ratio")
        show("Conversion of MobileNetV2, whole command (ashore's is judged on 200 photographs)", columns, conversions)
        columns = ("one inference", "bare µs", "session µs", "overhead µs", "ratio")
        show("Session.run against the library in this process, 1 thread", columns, session_rows(folder))
        columns = ("int8 file", "stock µs", "ashore µs", "ratio")
        show("Latency of ashore's int8 file against the stock recipe's", columns, stock_rows(folder))
    show("ashore --help, whole process", ("bare python s", "ashore --help s"), help_rows())


if __name__ == "__main__":
    main()
