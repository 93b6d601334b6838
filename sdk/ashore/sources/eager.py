"""Eager PyTorch's own answers, which files are held against."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import numpy as np

from ashore.errors import UsageError
from ashore.sources.ahead import Ahead
from ashore.sources.samples import to_array
from ashore.sources.threads import fastest_threads, on_threads
from ashore.types.tensor import Array, Sample, TensorSpec

if TYPE_CHECKING:
    from ashore.sources.flat import FlatModel
    from ashore.sources.spool import Spool

_SHORT_S = 0.5
"""Work that neither another process nor a search for the best number of threads could shorten by much."""


def run_eager(model: FlatModel, sample: Sample, outputs: tuple[TensorSpec, ...]) -> Sample:
    """PyTorch's own answer, by output name."""
    import torch

    with torch.no_grad():
        tensors = tuple(torch.from_numpy(np.array(sample[name])) for name in model.input_names)
        results = model(*tensors)
    return {spec.name: to_array(result) for spec, result in zip(outputs, results, strict=True)}


def answers_twice_alike(model: FlatModel, sample: Sample, outputs: tuple[TensorSpec, ...]) -> bool:
    """Not so where ``forward`` draws random numbers or changes a state; threads alone move the last bits."""
    first, second = (run_eager(model, sample, outputs) for _ in range(2))
    return all(np.allclose(first[name], second[name], rtol=1e-3, atol=1e-3, equal_nan=True) for name in first)


class Answers:
    """PyTorch's answers on samples, each worked out when it is asked for at the latest."""

    def __init__(
        self, model: FlatModel, outputs: tuple[TensorSpec, ...], samples: Spool | Sequence[Sample], purpose: str
    ) -> None:
        self._model, self._outputs, self._samples, self._purpose = model, outputs, samples, purpose
        self._known: list[Sample] = []
        self._each_s = 0.0
        self._process: Ahead | None = None
        self._meanwhile = ExitStack()

    def all(self) -> tuple[Sample, ...]:
        """What a process has answered by now is not answered again, and the process ends.

        Raises:
            UsageError: the model fails on a sample, or gives NaN, with which nothing can be compared.
        """
        self._meanwhile.close()
        self._answer_first()
        if rest := self._rest:
            with on_threads(1) if self._is_short else fastest_threads(lambda: self._answer(rest[0])):
                self._known += [self._answer(index) for index in rest]
        return tuple(self._known)

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """Inside, a process of its own answers all samples but the first. Where that gains nothing, all is done now.

        Raises:
            UsageError: as ``all`` does, though about a later sample only when ``collect`` or ``all`` is called.
        """
        self._answer_first()
        with ExitStack() as self._meanwhile:
            if self._is_short or not self._start_process():
                self.all()
            yield

    def collect(self) -> None:
        """Without waiting: take what the process has answered if it is over. Raises as ``all`` where it failed."""
        if self._process is not None and self._process.is_over():
            self.all()

    def _start_process(self) -> bool:
        import torch

        self._process = Ahead.start(self._answer, self._rest)
        if self._process is None:
            return False
        self._meanwhile.callback(self._end_process, self._process)
        # The process needs a core, and threads that wait for one another lose much where there is none for each.
        self._meanwhile.enter_context(on_threads(max(1, torch.get_num_threads() - 1)))
        return True

    def _end_process(self, process: Ahead) -> None:
        self._process = None
        self._known += process.end()

    @property
    def _rest(self) -> range:
        return range(len(self._known), len(self._samples))

    @property
    def _is_short(self) -> bool:
        return self._each_s * len(self._rest) < _SHORT_S

    def _answer_first(self) -> None:
        """By itself, to know how long one takes; it was no sample's first run, which takes longer."""
        if self._known:
            return
        with on_threads(1):
            begin_s = time.perf_counter()
            self._known.append(self._answer(0))
            self._each_s = time.perf_counter() - begin_s

    def _answer(self, index: int) -> Sample:
        what = f"{self._purpose} sample {index}"
        try:
            answer = run_eager(self._model, self._samples[index], self._outputs)
        except Exception as error:
            raise UsageError(
                f"the model fails in PyTorch on {what}: {type(error).__name__}: {error}",
                "drop the sample, or give samples that the model takes",
            ) from error
        for name, array in answer.items():
            _check_no_nan(name, array, what)
        return answer


def _check_no_nan(name: str, array: Array, what: str) -> None:
    count = int(np.isnan(array).sum()) if np.issubdtype(array.dtype, np.inexact) else 0
    if count:
        raise UsageError(
            f"PyTorch itself gives NaN in {count} of {array.size} values of output {name!r}, on {what}, "
            "so nothing can be compared with it",
            "give evaluation samples the model is made for: without any, noise like the example is taken",
        )
