"""The sentence encoder survives int8 weights: vectors stay where they were, and so does the ranking of the pairs."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ashore import ModelSource, convert, open_session
from ashore.interfaces import Session

EXAMPLES = Path(__file__).parents[2] / "examples"

Vectors = NDArray[np.float32]


@pytest.fixture
def minilm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("minilm")


@pytest.mark.parametrize("backend", ["executorch", "litert"])
def test_int8_dynamic_keeps_sentence_vectors_and_their_ranking(
    minilm: ModuleType, backend: str, tmp_path: Path
) -> None:
    source = minilm.model()
    [artifact] = convert(source, to=[backend], precisions=["int8-dynamic"], output=tmp_path)
    assert artifact.manifest is not None
    assert artifact.manifest.parity.cosine >= 0.99
    first, second = (minilm.encode(side) for side in zip(*minilm.sentence_pairs(), strict=True))
    expected = [eager_vectors(source, side) for side in (first, second)]
    with open_session(artifact) as session:
        got = [file_vectors(session, side) for side in (first, second)]
    for want, have in zip(expected, got, strict=True):
        assert (want * have).sum(axis=1).min() >= 0.99
    assert ranking(got) == ranking(expected)


def eager_vectors(source: ModelSource, encoded: dict[str, NDArray[np.int64]]) -> Vectors:
    assert isinstance(source.model, torch.nn.Module)
    with torch.no_grad():
        vectors: Vectors = source.model(**{name: torch.from_numpy(array) for name, array in encoded.items()}).numpy()
    return vectors


def file_vectors(session: Session, encoded: dict[str, NDArray[np.int64]]) -> Vectors:
    """The files take one sentence at a time."""
    [output] = session.outputs
    samples = ({name: array[[row]] for name, array in encoded.items()} for row in range(len(encoded["input_ids"])))
    return np.concatenate([session.run(sample)[output.name] for sample in samples])


def ranking(sides: Sequence[Vectors]) -> list[int]:
    """Numbers of the pairs, the nearest first."""
    first, second = sides
    return np.argsort(-(first * second).sum(axis=1)).tolist()
