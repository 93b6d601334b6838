"""The commands: options in, one call of the pipeline, results out."""

from __future__ import annotations

from pathlib import Path

import click

from ashore.cli.options import common, timeout
from ashore.cli.terminal import Terminal


@click.command(short_help="Convert a PyTorch model to files proven against it.")
@click.argument("source")
@click.option("--to", "backends", multiple=True, metavar="BACKEND", help="executorch or litert; both by default.")
@click.option(
    "--precision", "precisions", multiple=True, metavar="P", help="fp32, fp16, int8, int8-dynamic, int4 or mixed."
)
@click.option("--inputs", type=click.Path(path_type=Path), metavar="F.npz", help="Example inputs by name.")
@click.option(
    "--shape", "shapes", multiple=True, metavar="NAME=1x3x224x224[:float32]", help="Shape of an example input."
)
@click.option("--calibration", metavar="PATH", help="An .npz of stacked samples, a folder of .npz, or 'random'.")
@click.option(
    "--recipe", "recipe_path", type=click.Path(path_type=Path), metavar="F.toml", help="Layer rules and settings."
)
@click.option("--ranges", metavar="NAME", help="Of int8's activations: mean (the default), minmax, percentile or mse.")
@click.option(
    "--repair",
    "repairs",
    multiple=True,
    metavar="NAME",
    help="smoothquant, equalization or bias_correction, kept where it measures better; none to leave all out.",
)
@click.option(
    "--min-sqnr", "min_sqnr_db", type=float, metavar="DB", help="Accuracy floor instead of the precision's own."
)
@click.option(
    "--max-top1-drop",
    type=float,
    metavar="POINTS",
    help="Top-1 agreement with PyTorch that may be lost, in points of %.",
)
@click.option(
    "--max-metric-drop",
    "metric_drops",
    multiple=True,
    metavar="NAME=VALUE",
    help="What the source's evaluate may lose of a metric.",
)
@click.option("--name", help="Stem of the files; by default the source's name.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the files; by default ./<name>."
)
@common
def convert(
    terminal: Terminal,
    source: str,
    backends: tuple[str, ...],
    precisions: tuple[str, ...],
    inputs: Path | None,
    shapes: tuple[str, ...],
    calibration: str | None,
    recipe_path: Path | None,
    ranges: str | None,
    repairs: tuple[str, ...],
    min_sqnr_db: float | None,
    max_top1_drop: float | None,
    metric_drops: tuple[str, ...],
    name: str | None,
    output: Path | None,
) -> None:
    """Convert SOURCE to model files, each judged against PyTorch before it is published.

    SOURCE is file.py:name, pkg.mod:name, file.pt2, file.onnx or hf:DIR. Precision mixed starts from int8 and keeps
    modules in float, the most worthwhile first, until the floor and the drops that are given hold.
    """
    from ashore.cli.options import read_drops, with_ranges, with_repairs
    from ashore.cli.results import artifact_fields, show_artifacts
    from ashore.pipeline.convert import DEFAULT_BACKENDS
    from ashore.pipeline.convert import convert as convert_source
    from ashore.pipeline.recipes import load_recipe
    from ashore.sources import load_source

    recipe = with_repairs(load_recipe(recipe_path) if recipe_path else None, repairs)
    with terminal.progress() as progress:
        progress(f"loading {source}")
        artifacts = convert_source(
            load_source(source, inputs=inputs, shapes=shapes, calibration=calibration),
            to=backends or DEFAULT_BACKENDS,
            precisions=precisions or None,
            recipe=with_ranges(recipe, ranges),
            output=output,
            name=name,
            min_sqnr_db=min_sqnr_db,
            max_top1_drop=max_top1_drop,
            max_metric_drop=read_drops(metric_drops),
            progress=progress,
        )
    if terminal.json:
        terminal.show_json({"artifacts": [artifact_fields(artifact) for artifact in artifacts]})
    else:
        show_artifacts(terminal, artifacts)


@click.command(short_help="Compare a file's answers with PyTorch's.")
@click.argument("artifacts", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--target", "targets", multiple=True, metavar="T", help="host by default; may be given again.")
@click.option("--source", metavar="SOURCE", help="What they were made of, to call its evaluate on the target.")
@timeout
@common
def verify(
    terminal: Terminal, artifacts: tuple[Path, ...], targets: tuple[str, ...], source: str | None, timeout_s: float
) -> int:
    """Run the golden inputs of ARTIFACTS on a target and compare with PyTorch's outputs."""
    from ashore.cli.results import show_verifications, verification_fields
    from ashore.errors import AccuracyError
    from ashore.pipeline.verify import Evaluation
    from ashore.pipeline.verify import verify as verify_artifact
    from ashore.sources import load_source

    with terminal.progress() as progress:
        found = []
        evaluation = Evaluation(load_source(source)) if source else None
        for target in targets or ("host",):
            for path in artifacts:
                progress(f"{path.name} on {target}")
                found.append(verify_artifact(path, target=target, source=evaluation, timeout_s=timeout_s))
    if terminal.json:
        terminal.show_json({"verifications": [verification_fields(each) for each in found]})
    else:
        show_verifications(terminal, found)
    return 0 if all(each.passed for each in found) else AccuracyError.exit_code


@click.command(short_help="One inference, from arrays in a file to arrays in a file.")
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--inputs", required=True, type=click.Path(path_type=Path), metavar="F.npz", help="Arrays by input name.")
@click.option("--output", required=True, type=click.Path(path_type=Path), metavar="F.npz", help="Where the outputs go.")
@click.option("--target", default="host", show_default=True, metavar="T", help="Where, as ashore targets lists.")
@click.option("--threads", default=1, show_default=True, type=int, help="Threads of the engine.")
@timeout
@common
def run(
    terminal: Terminal, artifact: Path, inputs: Path, output: Path, target: str, threads: int, timeout_s: float
) -> None:
    """One inference of ARTIFACT, from arrays in a file to arrays in a file."""
    from ashore.pipeline.execute import run_file

    results = run_file(artifact, inputs, output, target=target, threads=threads, timeout_s=timeout_s)
    if terminal.json:
        shapes = {name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in results.items()}
        terminal.show_json({"output": str(output), "outputs": shapes})
    else:
        rows = [(name, "x".join(map(str, array.shape)), str(array.dtype)) for name, array in results.items()]
        terminal.show_table(str(output), ("output", "shape", "dtype"), rows)


@click.command(short_help="What a model file is and what is in it.")
@click.argument("artifact", type=click.Path(path_type=Path))
@common
def inspect(terminal: Terminal, artifact: Path) -> None:
    """What ARTIFACT is: its manifest, tensors, operators, delegation and where its bytes go."""
    from ashore.cli.results import inspection_fields, show_inspection
    from ashore.pipeline.inspection import inspect as inspect_artifact

    inspection = inspect_artifact(artifact)
    if terminal.json:
        terminal.show_json(inspection_fields(inspection))
    else:
        show_inspection(terminal, inspection)


@click.command(short_help="Where models can run, and whether it is ready.")
@click.option("--clean", "cleaned", metavar="T", help="Remove what ashore left on a target, such as adb:SERIAL.")
@common
def targets(terminal: Terminal, cleaned: str | None) -> None:
    """Every target, and whether it is ready."""
    from ashore.cli.results import show_targets, target_fields
    from ashore.pipeline.cleaning import clean
    from ashore.registry import all_targets

    if cleaned is not None:
        done = clean(cleaned)
        if terminal.json:
            terminal.show_json({"target": cleaned, "done": done})
        else:
            terminal.show_text(done)
        return
    found = [target.describe() for target in all_targets()]
    if terminal.json:
        terminal.show_json({"targets": [target_fields(info) for info in found]})
    else:
        show_targets(terminal, found)


@click.command(short_help="What is installed, what is missing, how to add it.")
@common
def doctor(terminal: Terminal) -> None:
    """What is installed, what is missing, and the exact command that adds it."""
    from dataclasses import asdict

    from ashore.pipeline.doctor import examine

    findings = examine()
    if terminal.json:
        terminal.show_json({"findings": [asdict(finding) for finding in findings]})
    else:
        rows = [(f.name, f.health.value, f.detail, f.needed_for, f.remedy) for f in findings]
        terminal.show_table("ashore doctor", ("what", "state", "detail", "needed for", "to add it"), rows)
