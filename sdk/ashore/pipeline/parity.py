"""How close two sets of outputs are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ashore.errors import AccuracyError
from ashore.types.parity import SQNR_LIMIT_DB, Floats, OutputParity, Parity, sqnr_db
from ashore.types.tensor import Array, Sample

_SCORE_NAMES = frozenset({"logits", "scores", "probabilities", "probs"})


def measure_parity(
    expected: Sequence[Sample],
    got: Sequence[Sample],
    *,
    floor_db: float,
    labels: Sequence[str] | None = None,
    title: str = "the file",
) -> Parity:
    """Compare outputs sample by sample; both sequences name the same outputs.

    Power and error are summed over all samples before the ratio is taken, so quiet samples weigh little.

    Args:
        title: what gave ``got``, for the message.

    Raises:
        AccuracyError: an output has another shape than PyTorch's.
    """
    outputs = []
    for name in expected[0]:
        want, have = [sample[name] for sample in expected], [sample[name] for sample in got]
        _check_shapes(f"{title}: output {name!r}", want, have)
        outputs.append(_measure_output(name, want, have, labels))
    return Parity.of(len(expected), floor_db, tuple(outputs))


def _measure_output(name: str, expected: list[Array], got: list[Array], labels: Sequence[str] | None) -> OutputParity:
    want = np.concatenate([np.asarray(array, np.float64).reshape(-1) for array in expected])
    have = np.concatenate([np.asarray(array, np.float64).reshape(-1) for array in got])
    nan, inf = _new_non_finite(want, have)
    finite = np.isfinite(want) & np.isfinite(have)
    comparable = finite.any() or not finite.size
    want, have = want[finite], have[finite]
    sqnr = sqnr_db(want, have) if comparable else -SQNR_LIMIT_DB
    scores = _are_scores(name, expected[0], labels)
    agreement, sure, sure_samples = _top1(expected, got) if scores else (None, None, None)
    worst = float(np.abs(want - have).max(initial=0.0))
    return OutputParity(name, sqnr, _cosine(want, have), worst, nan, inf, agreement, sure, sure_samples)


def _check_shapes(output: str, expected: list[Array], got: list[Array]) -> None:
    for index, (want, have) in enumerate(zip(expected, got, strict=True)):
        if want.shape != have.shape:
            raise AccuracyError(
                f"{output} has shape {_text(have)} where PyTorch gives {_text(want)}, on sample {index}",
                "a dynamic dimension is probably computed as a constant: keep it fixed, or take another backend",
            )


def _text(array: Array) -> str:
    return "x".join(str(size) for size in array.shape) or "scalar"


def _new_non_finite(expected: Floats, got: Floats) -> tuple[int, int]:
    """NaN that PyTorch does not have, and infinite values that only one of the two has, in the same place."""
    nan = np.isnan(got) & ~np.isnan(expected)
    inf = (np.isinf(got) | np.isinf(expected)) & (expected != got) & ~nan
    return int(nan.sum()), int(inf.sum())


def _cosine(expected: Floats, got: Floats) -> float:
    lengths = float(np.linalg.norm(expected) * np.linalg.norm(got))
    if lengths == 0.0:
        return 1.0 if np.array_equal(expected, got) else 0.0
    return float(np.clip(np.dot(expected, got) / lengths, -1.0, 1.0))


def _are_scores(name: str, array: Array, labels: Sequence[str] | None) -> bool:
    if array.ndim != 2 or array.shape[-1] < 2 or not np.issubdtype(array.dtype, np.floating):
        return False
    return array.shape[-1] == len(labels) if labels else name in _SCORE_NAMES


def _top1(expected: list[Array], got: list[Array]) -> tuple[float, float | None, int]:
    want = np.concatenate(expected).astype(np.float64)
    have = np.concatenate(got).astype(np.float64)
    agree = want.argmax(-1) == have.argmax(-1)
    sure = _softmax(want).max(-1) > 0.5
    return float(agree.mean()), float(agree[sure].mean()) if sure.any() else None, int(sure.sum())


def _softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    shares: Floats = powers / powers.sum(-1, keepdims=True)
    return shares
