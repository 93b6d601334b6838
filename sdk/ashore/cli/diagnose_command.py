"""``ashore diagnose``: which layers int8 hurts."""

from __future__ import annotations

from pathlib import Path

import click

from ashore.cli.options import common
from ashore.cli.terminal import Terminal


@click.command(short_help="Which layers int8 hurts, and by how much.")
@click.argument("subject")
@click.option("--source", metavar="SOURCE", help="What SUBJECT was made of, where it is a model file.")
@click.option("--to", "backends", multiple=True, metavar="BACKEND", help="executorch or litert; both by default.")
@click.option("--calibration", metavar="PATH", help="An .npz of stacked samples, a folder of .npz, or 'random'.")
@click.option(
    "--recipe", "recipe_path", type=click.Path(path_type=Path), metavar="F.toml", help="Layer rules and settings."
)
@click.option("--plot", type=click.Path(path_type=Path), metavar="F.svg", help="Draw the layers as well.")
@common
def diagnose(
    terminal: Terminal,
    subject: str,
    source: str | None,
    backends: tuple[str, ...],
    calibration: str | None,
    recipe_path: Path | None,
    plot: Path | None,
) -> None:
    """Try each layer of SUBJECT in int8 by itself, and all of them at once.

    SUBJECT is a source as for convert, or an int8 or mixed model file together with --source.
    """
    from ashore.cli.diagnose_results import diagnosis_fields, show_diagnosis
    from ashore.errors import UsageError
    from ashore.pipeline.convert import DEFAULT_BACKENDS
    from ashore.pipeline.diagnosis import diagnose as diagnose_source
    from ashore.pipeline.recipes import load_recipe
    from ashore.report.layers import check_plot, write_plot
    from ashore.sources import load_source

    artifact, wanted = _subject(subject, source)
    if artifact is not None and (backends or recipe_path):
        raise UsageError(
            f"{'--to' if backends else '--recipe'} was given, but {artifact} has a backend and a recipe of its own",
            "leave it out, or diagnose the source",
        )
    recipe = load_recipe(recipe_path) if recipe_path else None
    if plot is not None:
        check_plot(plot)
    with terminal.progress() as progress:
        progress(f"loading {wanted}")
        loaded = load_source(wanted, calibration=calibration)
        found = diagnose_source(
            loaded, to=backends or DEFAULT_BACKENDS, artifact=artifact, recipe=recipe, progress=progress
        )
    if plot is not None:
        write_plot(found, plot)
    if terminal.json:
        terminal.show_json({"diagnoses": [diagnosis_fields(each) for each in found]})
    else:
        for each in found:
            show_diagnosis(terminal, each)


def _subject(subject: str, source: str | None) -> tuple[Path | None, str]:
    """The model file, if it is one, and the source's words."""
    from ashore.errors import UsageError
    from ashore.registry import suffixes

    is_file = subject.endswith(suffixes())
    if is_file and source is None:
        raise UsageError(
            f"{subject} is a model file, and a file no longer knows PyTorch's model",
            "say what it was made of with --source, such as --source net.py:model",
        )
    if not is_file and source is not None:
        raise UsageError(f"--source was given, but {subject!r} is no model file", "leave --source out")
    return (Path(subject), source or "") if is_file else (None, subject)
