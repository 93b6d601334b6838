"""A trained MobileNetV2 becomes four files, each proven against PyTorch on real photographs, and timed beside it.

    python examples/demo.py

The files stay in demo/, with the last table as demo/summary.md and their profile as demo/report.html.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import mobilenet_v2
import numpy as np
import torch
from demo_report import write_report
from numpy.typing import NDArray
from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table

from ashore import AccuracyError, AshoreError, ModelSource, convert, open_session, verify
from ashore.interfaces import Session
from ashore.types.artifact import Artifact

FOLDER = Path("demo")
ROUNDS, RUNS_PER_ROUND = 12, 5

Picture = NDArray[np.float32]
Run = Callable[[Picture], int]
"""Runs a model once on a picture and returns the nanoseconds the engine took."""


@dataclass(frozen=True)
class Answer:
    """The best class of a photograph and its probability."""

    label: str
    probability: float

    def __str__(self) -> str:
        return f"{self.label}\n{self.probability:.0%}"


def main() -> int:
    out, log = Console(), Console(stderr=True)
    try:
        demonstrate(out, log)
    except AshoreError as error:
        log.print(f"[bold red]{type(error).__name__}:[/] {error.message}", highlight=False)
        log.print(f"hint: {error.hint}", highlight=False)
        return error.exit_code
    return 0


def demonstrate(out: Console, log: Console) -> None:
    source = mobilenet_v2.model()
    artifacts = land(source, log)
    with ExitStack() as stack, log.status("classifying photographs and timing"):
        sessions = [stack.enter_context(open_session(artifact, threads=1)) for artifact in artifacts]
        out.print(photograph_table(source, artifacts, sessions))
        medians_ms = race(source, sessions)
    rows = summary(source, artifacts, medians_ms)
    out.print(terminal_table(rows, source.name))
    (FOLDER / "summary.md").write_text(f"{markdown_table(rows)}\n{caption()}\n", "utf-8")
    with stages(log) as progress:
        page = write_report(artifacts, FOLDER, progress)
    out.print(f"The files, their manifests, golden samples and this table (summary.md) are in {FOLDER}/")
    out.print(f"What they cost here and on an emulated phone's CPU: open {page}", soft_wrap=True)


@contextmanager
def stages(log: Console) -> Iterator[Callable[[str], None]]:
    """A function that shows each stage of long work with the seconds since the first."""
    start = time.monotonic()
    with log.status("starting") as status:

        def progress(stage: str) -> None:
            status.update(stage)
            log.print(f"[dim]{time.monotonic() - start:4.0f} s[/]  {stage}", highlight=False, soft_wrap=True)

        yield progress


def land(source: ModelSource, log: Console) -> list[Artifact]:
    """The four files, written and then verified once more from the disk.

    Raises:
        AccuracyError: a file differs too much from PyTorch; then nothing is published.
    """
    with stages(log) as progress:
        artifacts = convert(source, precisions=("fp32", "int8"), output=FOLDER, progress=progress)
        for artifact in artifacts:
            progress(f"{artifact.file.name}: verifying")
            if not (proof := verify(artifact)).passed:
                raise AccuracyError(
                    f"{artifact.file} gives {proof.parity.sqnr_db:.1f} dB SQNR on its golden samples, "
                    f"its floor is {proof.parity.floor_db:g} dB",
                    "the engine here differs from the one that converted it; convert again",
                )
    return artifacts


# --- photographs -----------------------------------------------------------------------------------------------------


def photograph_table(source: ModelSource, artifacts: Sequence[Artifact], sessions: Sequence[Session]) -> Table:
    """Every whole photograph with PyTorch's answer and each file's."""
    table = Table(title="What each file sees in photographs it was not calibrated on", show_lines=True)
    for heading in ("photograph", "PyTorch", *(title(artifact).replace(" ", "\n") for artifact in artifacts)):
        table.add_column(heading)
    for name, pixels in mobilenet_v2.photographs():
        picture = mobilenet_v2.prepare(pixels)
        expected = classify(source, eager_scores(source, picture))
        answers = [classify(source, file_scores(session, picture)) for session in sessions]
        table.add_row(name, str(expected), *(coloured(answer, expected) for answer in answers))
    return table


def classify(source: ModelSource, scores: NDArray[np.float32]) -> Answer:
    assert source.labels is not None
    odds = np.exp(scores - scores.max())
    best = int(odds.argmax())
    return Answer(source.labels[best], float(odds[best] / odds.sum()))


def coloured(answer: Answer, expected: Answer) -> str:
    return f"[{'green' if answer.label == expected.label else 'yellow'}]{answer}[/]"


def eager_scores(source: ModelSource, picture: Picture) -> NDArray[np.float32]:
    assert isinstance(source.model, torch.nn.Module)
    with torch.inference_mode():
        scores: NDArray[np.float32] = source.model(torch.from_numpy(picture)).numpy()[0]
    return scores


def file_scores(session: Session, picture: Picture) -> NDArray[np.float32]:
    outputs = session.run({session.inputs[0].name: picture})
    scores: NDArray[np.float32] = outputs[session.outputs[0].name][0].astype(np.float32)
    return scores


def title(artifact: Artifact) -> str:
    return f"{artifact.backend} {artifact.manifest.precision}" if artifact.manifest else artifact.backend


# --- time ------------------------------------------------------------------------------------------------------------


def race(source: ModelSource, sessions: Sequence[Session]) -> list[float]:
    """Median milliseconds at one thread of eager PyTorch and of each file.

    All take turns within every round: whatever else the machine does meets everybody alike, so the ratios hold even
    where the milliseconds do not. The first run of a turn refills the caches and is not counted.
    """
    picture = mobilenet_v2.prepare(next(mobilenet_v2.photographs())[1])
    runners = [eager_run(source), *(file_run(session) for session in sessions)]
    samples_ns: list[list[int]] = [[] for _ in runners]
    with one_torch_thread():
        for _ in range(ROUNDS):
            for runner, taken in zip(runners, samples_ns, strict=True):
                taken += [runner(picture) for _ in range(RUNS_PER_ROUND + 1)][1:]
    return [statistics.median(taken) / 1e6 for taken in samples_ns]


def eager_run(source: ModelSource) -> Run:
    def run(picture: Picture) -> int:
        start = time.perf_counter_ns()
        eager_scores(source, picture)
        return time.perf_counter_ns() - start

    return run


def file_run(session: Session) -> Run:
    def run(picture: Picture) -> int:
        session.run({session.inputs[0].name: picture})
        return session.last_run_ns

    return run


@contextmanager
def one_torch_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


# --- the table -------------------------------------------------------------------------------------------------------

HEADINGS = ("file", "MB", "SQNR dB", "top-1 %", "sure top-1 %", "delegated %", "median ms", "times eager")


def summary(source: ModelSource, artifacts: Sequence[Artifact], medians_ms: Sequence[float]) -> list[tuple[str, ...]]:
    """Rows under ``HEADINGS``, eager PyTorch first."""
    assert isinstance(source.model, torch.nn.Module)
    eager_ms, *files_ms = medians_ms
    size = sum(tensor.nbytes for tensor in source.model.state_dict().values())
    first = ("PyTorch eager", f"{size / 1e6:.1f}", "", "", "", "", f"{eager_ms:.1f}", "1.0")
    return [first, *(row(artifact, ms, eager_ms) for artifact, ms in zip(artifacts, files_ms, strict=True))]


def row(artifact: Artifact, ms: float, eager_ms: float) -> tuple[str, ...]:
    """One file's figures; agreement is on the evaluation crops, "sure" where PyTorch's best class has over 50 %."""
    assert artifact.manifest is not None
    parity, delegation = artifact.manifest.parity, artifact.manifest.delegation
    shares = (parity.top1_agreement, parity.top1_agreement_sure, delegation.share)
    return (
        artifact.file.name,
        f"{artifact.manifest.file.bytes / 1e6:.1f}",
        f"{parity.sqnr_db:.1f}",
        *("" if share is None else f"{100 * share:.1f}" for share in shares),
        f"{ms:.1f}",
        f"{eager_ms / ms:.1f}",
    )


def terminal_table(rows: Sequence[Sequence[str]], source_name: str) -> Table:
    """For 80 columns: headings broken at spaces, file names without the part they share."""
    shared = f"{source_name}."
    table = Table(title=f"{FOLDER}/{shared}*", caption=caption(), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in HEADINGS:
        justify: JustifyMethod = "left" if heading == "file" else "right"
        table.add_column(heading.replace(" ", "\n"), justify=justify, vertical="bottom", no_wrap=True)
    for name, *figures in rows:
        table.add_row(name.removeprefix(shared), *figures)
    return table


def caption() -> str:
    crops = f"Fidelity to PyTorch on {mobilenet_v2.EVALUATION_CROPS} crops of photographs; time at one thread."
    return crops if has_int8_dot_products() else f"{crops}\n{NO_DOT_PRODUCTS}"


NO_DOT_PRODUCTS = "This CPU has no int8 dot product instructions, so int8 saves memory here, not time."


def has_int8_dot_products() -> bool:
    """Whether the kernel lists them: VNNI on x86, SDOT on Arm. True where it lists nothing, to claim nothing."""
    listing = Path("/proc/cpuinfo")
    words = set(listing.read_text().split()) if listing.is_file() else {"asimddp"}
    return bool(words & {"avx512_vnni", "avx_vnni", "asimddp"})


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    rule = ["---" if heading == "file" else "---:" for heading in HEADINGS]
    lines = [HEADINGS, rule, *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    sys.exit(main())
