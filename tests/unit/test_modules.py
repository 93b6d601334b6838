"""Operators that an engine timed, and the modules of the user's model they belong to."""

from __future__ import annotations

import pytest

from ashore.profiling.modules import layer_kind, with_modules
from ashore.types.conversion import LayerKind, PlacedLayer
from ashore.types.profile import OpCost


def _op(kind: str) -> OpCost:
    return OpCost(f"{kind} #1", kind, True, 10, 1)


OPS = [
    _op("Transpose (ND, X32)"),
    _op("Convolution (NHWC, F32) IGEMM"),
    _op("Convolution (NHWC, QC8) DWConv"),
    _op("Convert (NC)"),
    _op("Fully Connected (NC, QS8, QC8W) GEMM"),
    _op("Add (ND)"),
]
LAYERS = [
    PlacedLayer("stem", LayerKind.DENSE),
    PlacedLayer("", LayerKind.DEPTHWISE),
    PlacedLayer("head", LayerKind.DENSE),
]


def test_layers_are_paired_in_order_and_the_rest_keeps_its_own_name() -> None:
    assert [op.module for op in with_modules(OPS, LAYERS)] == [None, "stem", None, None, "head", None]


@pytest.mark.parametrize("layers", [[], LAYERS[:2], [*LAYERS, LAYERS[0]], [LAYERS[1], LAYERS[0], LAYERS[2]]])
def test_nothing_is_guessed_where_the_lists_do_not_fit(layers: list[PlacedLayer]) -> None:
    assert with_modules(OPS, layers) == tuple(OPS)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Deconvolution (NHWC, QS8, QC8W)", LayerKind.TRANSPOSED),
        ("TRANSPOSE_CONV", LayerKind.TRANSPOSED),
        ("DEPTHWISE_CONV_2D", LayerKind.DEPTHWISE),
        ("CONV_2D", LayerKind.DENSE),
        ("native_call_convolution.out", LayerKind.DENSE),
        ("native_call_addmm.out", LayerKind.DENSE),
        ("Dynamic Fully Connected (NC, F32)", None),
        ("Batch Matrix Multiply (NC, F32) GEMM", None),
        ("Convert (NC, F32, QS8)", None),
        ("Softmax (NC, F32)", None),
    ],
)
def test_kinds_by_the_engines_own_names(name: str, kind: LayerKind | None) -> None:
    assert layer_kind(name) is kind
