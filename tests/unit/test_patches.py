"""Patches: a convolution is what its weights make of them."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from ashore_converters import patches as module  # noqa: E402
from ashore_converters.patches import Window, patches  # noqa: E402

WINDOWS = [
    Window((1, 1)),
    Window((3, 3), stride=(2, 1), padding=(1, 1, 1, 1)),
    Window((3, 2), dilation=(2, 3), padding=(0, 1, 2, 0)),
    Window((3, 3), groups=3),
    Window((3, 3), groups=6, stride=(2, 2)),
    Window((1, 5), padding=(2, 2, 0, 0)),
]


@pytest.mark.parametrize("window", WINDOWS)
def test_weights_times_patches_are_the_convolution(window: Window) -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn(2, 6, 9, 11, generator=generator)
    weight = torch.randn(12, 6 // window.groups, *window.kernel, generator=generator)
    padded = torch.nn.functional.pad(pictures, window.padding)
    wanted = torch.nn.functional.conv2d(
        padded, weight, stride=window.stride, dilation=window.dilation, groups=window.groups
    )
    matrix = weight.reshape(window.groups, -1, weight[0].numel())
    got = matrix @ patches(pictures, window).mT  # [groups, out, places of both pictures]
    places = got.reshape(12, 2, *wanted.shape[2:]).transpose(0, 1)
    assert torch.allclose(places, wanted, atol=1e-5)


def test_of_a_large_picture_only_some_places_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = torch.arange(64.0).reshape(1, 1, 8, 8)
    monkeypatch.setattr(module, "_MOST_BYTES", 16)
    assert patches(pictures, Window((1, 1))).flatten().tolist() == [0.0, 4.0, 32.0, 36.0]
