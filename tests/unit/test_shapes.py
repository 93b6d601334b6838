"""``--shape NAME=1x3x224x224[:float32]``."""

from __future__ import annotations

import numpy as np
import pytest

from ashore import DynamicDim, UsageError
from ashore.sources.shapes import parse_shapes


def test_sizes_and_dtype_make_an_example() -> None:
    arrays, dynamic = parse_shapes(("x=1x3x8x8", "ids=2x4:int64", "mask=2:bool"))
    assert {name: (array.shape, str(array.dtype)) for name, array in arrays.items()} == {
        "x": ((1, 3, 8, 8), "float32"),
        "ids": ((2, 4), "int64"),
        "mask": ((2,), "bool"),
    }
    assert dynamic == {}
    assert np.isfinite(arrays["x"]).all() and arrays["x"].std() > 0.5
    assert (arrays["ids"] == 1).all()


def test_a_range_is_a_dynamic_dimension_whose_example_is_its_maximum() -> None:
    arrays, dynamic = parse_shapes(("x=1..8x16",))
    assert arrays["x"].shape == (8, 16)
    assert dynamic == {"x": {0: DynamicDim("dim_1_8", 1, 8)}}


def test_equal_ranges_of_different_inputs_are_one_dimension() -> None:
    _, dynamic = parse_shapes(("ids=1x2..32:int64", "mask=1x2..32:int64"))
    assert dynamic["ids"][1] == dynamic["mask"][1]


def test_equal_ranges_within_one_input_are_dimensions_of_their_own() -> None:
    _, dynamic = parse_shapes(("x=1x3x32..64x32..64", "y=1x3x32..64x32..64"))
    height, width = dynamic["x"][2], dynamic["x"][3]
    assert height.name != width.name
    assert dynamic["y"] == dynamic["x"]


@pytest.mark.parametrize(
    "text", ["x", "x=", "=1x2", "x=1,3,8", "x=1x3x", "x=-1x3", "x=1x?", "x=1x3:", "x=1X3", "x=1..x3", "x y=1x3", ""]
)
def test_another_form_is_refused_with_an_example_of_the_right_one(text: str) -> None:
    with pytest.raises(UsageError, match="is not of the form NAME=1x3x224x224") as caught:
        parse_shapes((text,))
    assert repr(text) in caught.value.message
    assert "x=1x3x224x224" in caught.value.hint


@pytest.mark.parametrize(("text", "part"), [("x=1x0", "'0'"), ("x=8..2", "'8..2'"), ("x=0..4", "'0..4'")])
def test_a_size_that_cannot_be_is_refused(text: str, part: str) -> None:
    with pytest.raises(UsageError, match=f"{part} is not a size") as caught:
        parse_shapes((text,))
    assert "2..128" in caught.value.hint


def test_an_unknown_dtype_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="asks for dtype 'float'") as caught:
        parse_shapes(("x=1x3:float",))
    assert "float32" in caught.value.hint and "int64" in caught.value.hint


def test_an_input_named_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="--shape names 'x' twice"):
        parse_shapes(("x=1x3", "x=1x4"))


def test_an_example_that_no_memory_holds_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--shape 'x=1x1000000x1000000x1000' asks for .* bytes"):
        parse_shapes(("x=1x1000000x1000000x1000",))


@pytest.mark.parametrize("text", ["x=1048576x1048576", "x=1024x1024:float32"])
def test_a_shape_that_fits_into_no_memory_is_told_before_it_is_drawn(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASHORE_RUNNER_MEMORY_MIB", "2")
    with pytest.raises(UsageError, match=rf"--shape '{text}' asks for .* bytes, which do not fit here"):
        parse_shapes((text,))
