from __future__ import annotations

import numpy as np
import pytest

from ashore_converters.sensitivity import choose_float_start, sqnr_db


@pytest.mark.parametrize(
    ("measured", "layers"),
    [
        ([16.0, 17.1, 21.1, 21.6, 21.6], 2),  # the third gains less than it must
        ([30.0, 30.9, 31.8, 32.7], 0),  # never a whole dB each
        ([10.0, 10.1, 10.2, 20.0], 3),  # it pays only together
        ([12.0], 0),
    ],
)
def test_as_many_layers_stay_float_as_pay(measured: list[float], layers: int) -> None:
    found = choose_float_start(measured.__getitem__, len(measured) - 1)
    assert (found.layers, found.int8_sqnr_db, found.sqnr_db) == (layers, measured[0], measured[layers])


def test_sqnr_counts_the_power_of_all_samples() -> None:
    reference = [np.array([3.0], np.float32), np.array([4.0], np.float32)]
    assert sqnr_db(reference, [reference[0], np.array([4.5], np.float32)]) == pytest.approx(20.0)
    assert sqnr_db(reference, reference) == 200.0
