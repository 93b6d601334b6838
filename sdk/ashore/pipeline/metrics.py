"""The user's own measure of a model, on PyTorch and on the finished file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ashore.errors import AshoreError, UsageError
from ashore.interfaces import Session
from ashore.pipeline.edges import run_real
from ashore.sources.samples import read_sample
from ashore.types.metrics import Metric
from ashore.types.source import Run
from ashore.types.tensor import Sample

if TYPE_CHECKING:
    from ashore.sources.prepare import PreparedSource

_SAMPLE = "a sample given to run by evaluate"


def eager_metrics(prepared: PreparedSource) -> Mapping[str, float] | None:
    """None where the source has no ``evaluate``. Raises UsageError as :func:`file_metrics` does."""
    from ashore.sources.eager import run_eager

    def run(value: Any) -> Sample:
        return run_eager(prepared.model, read_sample(value, prepared.inputs, _SAMPLE), prepared.outputs)

    return None if prepared.source.evaluate is None else _measured(prepared, run, "PyTorch")


def file_metrics(
    prepared: PreparedSource, eager: Mapping[str, float] | None, session: Session, title: str
) -> Mapping[str, Metric] | None:
    """The metrics of a loaded file beside PyTorch's own, ``eager``; None where there are none of these.

    Raises:
        UsageError: ``evaluate`` raised, or returned something else than finite numbers by name, or other names than
            it did for PyTorch.
    """
    if eager is None:
        return None
    return measured_metrics(prepared, eager, lambda sample: run_real(session, sample), title)


def measured_metrics(
    prepared: PreparedSource, eager: Mapping[str, float], run: Callable[[Sample], Sample], title: str
) -> Mapping[str, Metric]:
    """As :func:`file_metrics`, of whatever ``run`` runs."""
    measured = _measured(prepared, lambda value: run(read_sample(value, prepared.inputs, _SAMPLE)), title)
    if set(measured) != set(eager):
        raise UsageError(
            f"evaluate returned {', '.join(sorted(measured))} for {title} and {', '.join(sorted(eager))} for PyTorch",
            "return the same metrics whatever runs",
        )
    return {name: Metric(value, measured[name]) for name, value in eager.items()}


def _measured(prepared: PreparedSource, run: Run, where: str) -> dict[str, float]:
    assert prepared.source.evaluate is not None
    try:
        result = prepared.source.evaluate(run)
    except AshoreError:  # the file failed to run, or the sample was none of the model's
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"evaluate failed on {where}: {type(error).__name__}: {error}",
            "call it by itself with a run of your own; run(sample) returns a mapping from output name to array",
        ) from error
    if not isinstance(result, Mapping) or not result:
        raise UsageError(
            f"evaluate returned {_short(result)} for {where}, no metric",
            "return a mapping from name to number, such as {'accuracy': 0.71}",
        )
    return {str(name): _number(name, value, where) for name, value in result.items()}


def _number(name: object, value: Any, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, str) or not math.isfinite(number):
        raise UsageError(
            f"evaluate returned {_short(value)} as {str(name)!r} for {where}, which is no finite number",
            "return plain numbers; a mean over no samples is NaN",
        )
    return number


def _short(value: object) -> str:
    return repr(value)[:80]
