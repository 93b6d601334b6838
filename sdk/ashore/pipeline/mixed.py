"""``mixed``: int8 with the blocks in float that buy the most accuracy for their cost, until the budget holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ashore.errors import AccuracyError
from ashore.interfaces import Converter, Progress, Trial
from ashore.pipeline.blocks import all_but, blocks_of, inside
from ashore.pipeline.metrics import measured_metrics
from ashore.pipeline.parity import measure_parity
from ashore.pipeline.trials import open_trial, shares_of
from ashore.types.budget import Budget
from ashore.types.conversion import ConversionRequest
from ashore.types.metrics import Metric
from ashore.types.parity import Parity
from ashore.types.precision import Precision
from ashore.types.recipe import LayerRule
from ashore.types.sensitivity import MixedStep

if TYPE_CHECKING:
    from ashore.sources.prepare import PreparedSource

_SAMPLES = 64
_NOISE_SAMPLES = 8
"""Enough to rank blocks by; their order is all that is taken from it."""


@dataclass(frozen=True)
class MixedChoice:
    """Rules that keep the chosen blocks in float, and the way there."""

    rules: tuple[LayerRule, ...]
    curve: tuple[MixedStep, ...]

    @property
    def is_int8(self) -> bool:
        """Whether plain int8, with what it keeps in float by itself, was within the budget."""
        return len(self.curve) == 1


def choose_mixed(
    converter: Converter,
    request: ConversionRequest,
    prepared: PreparedSource,
    budget: Budget,
    eager: Mapping[str, float] | None,
    progress: Progress,
) -> Iterator[MixedChoice]:
    """All that keep the budget by trials, each with more in float than the one before; the first is mostly enough.

    Blocks are ranked and first measured on calibration samples; where to stop is confirmed on evaluation samples.

    Args:
        request: asks for int8.
        eager: PyTorch's metrics, where the source has ``evaluate``.

    Raises:
        UnsupportedModel: the backend offers no trials, or the model has no layer to choose.
        AccuracyError: the budget does not hold even with every block in float.
    """
    trial = open_trial(converter, request, progress, instead="give a recipe with layer rules to int8")
    search = _Search(trial, request, prepared, budget, eager)
    for curve in search.walk(progress):
        kept = (*search.trial.start, *(step.kept for step in curve if step.kept))
        yield MixedChoice(tuple(LayerRule(re.escape(path), Precision.FP32) for path in kept), curve)


class _Search:
    def __init__(
        self,
        trial: Trial,
        request: ConversionRequest,
        prepared: PreparedSource,
        budget: Budget,
        eager: Mapping[str, float] | None,
    ) -> None:
        self.trial, self._prepared, self._budget, self._eager = trial, prepared, budget, eager
        self._samples = request.calibration[:_SAMPLES]
        self._reference = prepared.answers(self._samples)
        self._floor_db = budget.floor_db(Precision.MIXED)

    def walk(self, progress: Progress) -> Iterator[tuple[MixedStep, ...]]:
        kept = self.trial.start
        step, faults = self._measured("", kept)
        curve = [step]
        if not faults:
            yield tuple(curve)
        for block in self._ranked(progress):
            kept = (*kept, block)
            step, faults = self._measured(block, kept)
            curve.append(step)
            progress(f"{block} in float: {step.sqnr_db:.1f} dB{f', still {faults[0]}' if faults else ''}")
            if not faults:
                yield tuple(curve)
        if faults:
            raise AccuracyError(
                f"even with every block in float the budget does not hold: {'; '.join(faults)}",
                "operators outside of blocks are int8 still: allow a larger loss, or use --precision fp16 or fp32",
            )

    def _measured(self, block: str, kept: tuple[str, ...]) -> tuple[MixedStep, tuple[str, ...]]:
        """A point of the curve, and what the budget lacks there.

        Evaluation samples, mostly many, are asked only where calibration samples keep the floor, and the source's own
        measure only where those keep the rest. Top-1 agreement of a few calibration samples would say little.
        """
        parity, labels = self._parity(kept), self._prepared.source.labels
        faults = Budget().faults(parity, None)
        if not faults:
            got = [self.trial.run(sample, kept) for sample in self._prepared.evaluation]
            judged = measure_parity(self._prepared.reference, got, floor_db=self._floor_db, labels=labels)
            faults = replace(self._budget, max_metric_drop={}).faults(judged, None)
            faults = faults or self._budget.faults(judged, self._metrics(kept))
        return MixedStep(block, parity.sqnr_db, *self._shares(kept), parity.top1_agreement), faults

    def _ranked(self, progress: Progress) -> list[str]:
        """Blocks by the noise that each makes alone, over what float costs it, the dearest noise first."""
        paths = [layer.path for layer in self.trial.layers]
        blocks = blocks_of([path for path in paths if not any(inside(path, kept) for kept in self.trial.start)])
        progress(f"measuring the noise of {len(blocks)} blocks one by one")
        worth = {block: self._noise(all_but(block, paths)) / self._cost(block) for block in blocks}
        return sorted(blocks, key=lambda block: -worth[block])

    def _noise(self, float_modules: tuple[str, ...]) -> float:
        """Of the worst output, as a share of its power."""
        return float(10 ** (-self._parity(float_modules, _NOISE_SAMPLES).sqnr_db / 10))

    def _cost(self, block: str) -> float:
        return sum(self._shares((block,)))

    def _shares(self, modules: tuple[str, ...]) -> tuple[float, float]:
        """Of all multiplications and of all weights, what lies inside of ``modules``."""
        every = self.trial.layers
        chosen = [layer for layer in every if any(inside(layer.path, module) for module in modules)]
        return shares_of(chosen, every)

    def _parity(self, kept: tuple[str, ...], most: int = _SAMPLES) -> Parity:
        got = [self.trial.run(sample, kept) for sample in self._samples[:most]]
        labels = self._prepared.source.labels
        return measure_parity(self._reference[:most], got, floor_db=self._floor_db, labels=labels)

    def _metrics(self, kept: tuple[str, ...]) -> Mapping[str, Metric] | None:
        """Only where the budget bounds them: ``evaluate`` may be long work."""
        if not self._budget.max_metric_drop or self._eager is None:
            return None
        return measured_metrics(
            self._prepared, self._eager, lambda sample: self.trial.run(sample, kept), "a trial of mixed precision"
        )
