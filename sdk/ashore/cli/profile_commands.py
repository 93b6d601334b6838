"""``ashore profile``, ``compare`` and ``history``: what models cost, now, since the last time and over time."""

from __future__ import annotations

from pathlib import Path

import click

from ashore.cli.options import common
from ashore.cli.terminal import Terminal

_EXCEEDED = 8
_STORE = "Path or URL of the history; by default .ashore/history.sqlite."


@click.command(short_help="What model files cost on targets, and why.")
@click.argument("artifacts", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--target", "targets", multiple=True, metavar="T", help="host by default; may be given again.")
@click.option("--threads", multiple=True, type=int, metavar="N", help="1 by default; may be given again.")
@click.option("--thorough", is_flag=True, help="At least 1024 runs and 60 seconds instead of 3 times 20 runs.")
@click.option("--ops", is_flag=True, help="Time single operators too, in a pass of its own.")
@click.option("--sustained", "minutes", type=float, metavar="MIN", help="Run without a pause for MIN minutes too.")
@click.option("--explain", "explained", is_flag=True, help="Say why it is not faster; times operators too.")
@click.option("--save", is_flag=True, help="Add the profile to the history.")
@click.option("--store", metavar="URL", help=_STORE)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="profile.json", help="Where the profile goes.")
@common
def profile(
    terminal: Terminal,
    artifacts: tuple[Path, ...],
    targets: tuple[str, ...],
    threads: tuple[int, ...],
    thorough: bool,
    ops: bool,
    minutes: float | None,
    explained: bool,
    save: bool,
    store: str | None,
    output: Path | None,
) -> None:
    """Measure ARTIFACTS on targets: latency, load, memory, size and, where they are counted, instructions."""
    from ashore.cli.profile_results import explanation_fields, show_explanations, show_profile
    from ashore.profiling.explain import explain
    from ashore.profiling.history import DEFAULT_STORE, append_profile, check_store
    from ashore.profiling.measure import profile as profile_artifacts
    from ashore.profiling.profiles import check_output, profile_fields, save_profile
    from ashore.types.profile import Mode

    history = store or DEFAULT_STORE if save or store else None
    if output is not None:
        check_output(output)
    if history is not None:
        check_store(history)
    with terminal.progress() as progress:
        measured = profile_artifacts(
            artifacts,
            targets=targets or ("host",),
            threads=threads or (1,),
            mode=Mode.THOROUGH if thorough else Mode.FAST,
            ops=ops or explained,
            sustained_minutes=minutes,
            progress=progress,
        )
    if output is not None:
        save_profile(measured, output)
    if history is not None:
        append_profile(measured, history)
    explanations = explain(measured) if explained else ()
    if terminal.json:
        told = {"explanations": [explanation_fields(each) for each in explanations]} if explained else {}
        terminal.show_json(profile_fields(measured) | told)
    else:
        show_profile(terminal, measured)
        show_explanations(terminal, explanations)


@click.command(short_help="Two profiles: what became slower, larger or less exact.")
@click.argument("base", type=click.Path(path_type=Path), metavar="BASE.json")
@click.argument("new", type=click.Path(path_type=Path), metavar="NEW.json")
@click.option("--fail-slower", type=float, metavar="PCT", help="Latency or instructions; 10 by default, inf for never.")
@click.option("--fail-memory", type=float, metavar="PCT", help="Peak memory; 10 by default, inf for never.")
@click.option(
    "--fail-sqnr", type=float, metavar="DB", help="Loss of SQNR; 3 by default between files of one precision."
)
@click.option("--junit", type=click.Path(path_type=Path), metavar="F.xml", help="Write a JUnit report.")
@click.option("--markdown", type=click.Path(path_type=Path), metavar="F.md", help="Write a Markdown summary.")
@common
def compare(
    terminal: Terminal,
    base: Path,
    new: Path,
    fail_slower: float | None,
    fail_memory: float | None,
    fail_sqnr: float | None,
    junit: Path | None,
    markdown: Path | None,
) -> int:
    """Compare NEW.json with BASE.json, pair by pair; exits 8 where a threshold is exceeded."""
    from ashore.cli.profile_results import comparison_fields, show_comparison
    from ashore.profiling.comparison import FAIL_MEMORY_PERCENT, FAIL_SLOWER_PERCENT, Thresholds
    from ashore.profiling.comparison import compare as compare_profiles
    from ashore.profiling.profiles import write_whole
    from ashore.profiling.summaries import junit_of, markdown_of

    thresholds = Thresholds(
        FAIL_SLOWER_PERCENT if fail_slower is None else fail_slower,
        FAIL_MEMORY_PERCENT if fail_memory is None else fail_memory,
        fail_sqnr,
    )
    comparison = compare_profiles(base, new, thresholds=thresholds)
    if junit is not None:
        write_whole(junit_of(comparison), junit)
    if markdown is not None:
        write_whole(markdown_of(comparison).encode(), markdown)
    if terminal.json:
        terminal.show_json(comparison_fields(comparison))
    else:
        show_comparison(terminal, comparison)
    return _EXCEEDED if comparison.exceeded else 0


@click.command(short_help="A metric over time, per artifact and target.")
@click.option("--metric", "metrics", multiple=True, metavar="M", help="latency and instructions by default.")
@click.option("--artifact", "artifacts", multiple=True, metavar="NAME", help="<name>.<backend>.<precision>, or less.")
@click.option("--target", "targets", multiple=True, metavar="T", help="All by default; may be given again.")
@click.option("--store", metavar="URL", help=_STORE)
@common
def history(
    terminal: Terminal,
    metrics: tuple[str, ...],
    artifacts: tuple[str, ...],
    targets: tuple[str, ...],
    store: str | None,
) -> None:
    """List and plot what ashore profile --save kept."""
    from ashore.cli.profile_results import series_fields, show_history
    from ashore.profiling.history import DEFAULT_STORE, read_history

    found = read_history(
        store or DEFAULT_STORE, metrics=metrics or ("latency", "instructions"), artifacts=artifacts, targets=targets
    )
    if terminal.json:
        terminal.show_json({"series": [series_fields(series) for series in found]})
    else:
        show_history(terminal, found)
