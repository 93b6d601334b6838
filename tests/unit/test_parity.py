"""The figures of the accuracy gate, against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ashore import AccuracyError
from ashore.pipeline.parity import measure_parity
from ashore.types.parity import Parity


def parity_of(
    expected: list, got: list, *, name: str = "y", labels: list[str] | None = None, dtype: type = np.float32
) -> Parity:
    """One output of several samples, given as nested lists."""
    wanted = [{name: np.array(values, dtype)} for values in expected]
    found = [{name: np.array(values, dtype)} for values in got]
    return measure_parity(wanted, found, floor_db=20.0, labels=labels)


def test_sqnr_is_the_power_of_the_signal_over_that_of_the_error() -> None:
    # signal 3^2 + 4^2 = 25, error 0.5^2 = 0.25: 10 log10(100) = 20 dB
    parity = parity_of([[3.0, 4.0]], [[3.0, 4.5]])
    assert parity.sqnr_db == pytest.approx(20.0)
    assert parity.max_abs == pytest.approx(0.5)
    assert parity.cosine == pytest.approx((9 + 18) / (5 * math.hypot(3, 4.5)))
    assert parity.passed  # at the floor is not below it


def test_power_is_summed_over_samples_before_the_ratio() -> None:
    # signal 1 + 99, error 1: 10 log10(100), not the mean of 0 dB and 200 dB
    parity = parity_of([[1.0], [math.sqrt(99.0)]], [[0.0], [math.sqrt(99.0)]])
    assert parity.sqnr_db == pytest.approx(20.0, abs=1e-4)
    assert parity.samples == 2


def test_identical_outputs_have_200_db() -> None:
    parity = parity_of([[1.0, -2.0]], [[1.0, -2.0]])
    assert (parity.sqnr_db, parity.max_abs) == (200.0, 0.0)
    assert parity.cosine == pytest.approx(1.0)


def test_silence_stays_silence() -> None:
    assert parity_of([[0.0, 0.0]], [[0.0, 0.0]]).sqnr_db == 200.0
    noisy = parity_of([[0.0, 0.0]], [[0.0, 1e-3]])
    assert (noisy.sqnr_db, noisy.cosine) == (-200.0, 0.0)
    assert not noisy.passed


def test_opposite_outputs_have_a_cosine_of_minus_one_and_lose_6_db() -> None:
    parity = parity_of([[1.0, 2.0]], [[-1.0, -2.0]])
    assert parity.cosine == pytest.approx(-1.0)
    assert parity.sqnr_db == pytest.approx(10 * math.log10(1 / 4))


def test_nan_and_infinity_are_counted_apart_and_never_pass() -> None:
    parity = parity_of([[1.0, 2.0, 3.0, 4.0]], [[1.0, math.nan, math.inf, math.nan]])
    assert (parity.nan, parity.inf) == (2, 1)
    assert parity.sqnr_db == 200.0  # of the values that can be compared
    assert not parity.passed


def test_an_infinity_that_pytorch_has_too_is_no_fault() -> None:
    parity = parity_of([[1.0, -math.inf]], [[1.0, -math.inf]])
    assert (parity.nan, parity.inf, parity.passed) == (0, 0, True)


@pytest.mark.parametrize("got", [5.0, math.inf])
def test_a_lost_or_turned_infinity_is_a_fault(got: float) -> None:
    parity = parity_of([[1.0, -math.inf]], [[1.0, got]])
    assert parity.inf == 1
    assert not parity.passed


def test_nothing_finite_to_compare_does_not_pass() -> None:
    assert not parity_of([[math.nan, math.nan]], [[1.0, 2.0]]).passed


def test_top1_needs_labels_or_a_telling_name() -> None:
    expected, got = [[[1.0, 2.0, 0.0]]], [[[2.0, 1.0, 0.0]]]
    assert parity_of(expected, got).top1_agreement is None
    assert parity_of(expected, got, name="logits").top1_agreement == 0.0
    assert parity_of(expected, got, labels=["a", "b", "c"]).top1_agreement == 0.0
    assert parity_of(expected, got, labels=["a", "b"]).top1_agreement is None


def test_top1_agreement_is_a_share_of_samples() -> None:
    expected = [[[3.0, 0.0]], [[3.0, 0.0]], [[0.0, 3.0]], [[0.0, 3.0]]]
    got = [[[2.0, 0.0]], [[0.0, 2.0]], [[0.0, 2.0]], [[0.0, 2.0]]]
    parity = parity_of(expected, got, name="logits")
    assert parity.top1_agreement == 0.75
    assert parity.top1_agreement_sure == 0.75


def test_sure_samples_are_those_with_more_than_half_of_the_probability() -> None:
    sure, torn = [[5.0, 0.0, 0.0]], [[0.1, 0.0, 0.0]]
    parity = parity_of([sure, torn], [sure, [[0.0, 0.1, 0.0]]], name="logits")
    assert parity.top1_agreement == 0.5
    assert parity.top1_agreement_sure == 1.0
    assert parity.outputs[0].sure_samples == 1


def test_no_sure_sample_means_no_sure_share() -> None:
    parity = parity_of([[[0.1, 0.0, 0.0]]], [[[0.1, 0.0, 0.0]]], name="logits")
    assert parity.top1_agreement == 1.0
    assert parity.top1_agreement_sure is None


def test_a_batch_counts_each_of_its_rows() -> None:
    parity = parity_of([[[1.0, 0.0], [0.0, 1.0]]], [[[1.0, 0.0], [1.0, 0.0]]], name="logits")
    assert parity.top1_agreement == 0.5


def test_integer_outputs_are_compared_as_numbers_without_a_top1() -> None:
    parity = parity_of([[[10, 0]]], [[[9, 0]]], name="logits", dtype=np.int64)
    assert parity.sqnr_db == pytest.approx(20.0)
    assert parity.top1_agreement is None


def test_unsigned_and_boolean_outputs_do_not_wrap_around() -> None:
    assert parity_of([[10]], [[11]], dtype=np.uint8).max_abs == 1.0
    assert parity_of([[True, False]], [[True, True]], dtype=np.bool_).sqnr_db == 0.0


def test_the_worst_output_speaks_for_the_file() -> None:
    expected = [{"good": np.ones(4, np.float32), "bad": np.ones(4, np.float32)}]
    got = [{"good": np.ones(4, np.float32), "bad": np.full(4, 2.0, np.float32)}]
    parity = measure_parity(expected, got, floor_db=20.0)
    assert parity.sqnr_db == 0.0
    assert parity.worst.name == "bad"
    assert [output.name for output in parity.outputs] == ["good", "bad"]
    assert not parity.passed


def test_nan_is_summed_over_outputs() -> None:
    expected = [{"a": np.ones(2), "b": np.ones(2)}]
    got = [{"a": np.array([np.nan, 1.0]), "b": np.array([np.nan, np.nan])}]
    assert measure_parity(expected, got, floor_db=20.0).nan == 3


def test_an_output_of_another_shape_is_an_accuracy_error() -> None:
    with pytest.raises(AccuracyError, match=r"the file: output 'y' has shape 1x2 where PyTorch gives 1x3"):
        parity_of([[[1.0, 2.0, 3.0]]], [[[1.0, 2.0]]])
