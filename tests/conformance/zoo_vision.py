"""Convolutional nets as people write them by hand."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)
    )


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        wide = inputs * 4
        self.skip = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            conv(inputs, wide, 1), nn.ReLU6(), conv(wide, wide, 3, stride, wide), nn.ReLU6(), conv(wide, outputs, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.skip else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        blocks = [InvertedResidual(8, 16, 2), InvertedResidual(16, 16, 1), InvertedResidual(16, 24, 2)]
        self.features = nn.Sequential(conv(3, 8, 3, 2), nn.ReLU6(), *blocks)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(24, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = conv(inputs, outputs, 3, stride), conv(outputs, outputs)
        self.shortcut = nn.Identity() if stride == 1 and inputs == outputs else conv(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 8, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.layers = nn.Sequential(BasicBlock(8, 8, 1), BasicBlock(8, 16, 2), BasicBlock(16, 16, 1))
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(nn.functional.adaptive_avg_pool2d(self.layers(self.stem(x)), 1), 1))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.Sequential(conv(3, 8), nn.ReLU())
        self.down2 = nn.Sequential(nn.MaxPool2d(2), conv(8, 16), nn.ReLU())
        self.middle = nn.Sequential(nn.MaxPool2d(2), conv(16, 16), nn.ReLU())
        self.up2 = nn.Sequential(conv(32, 8), nn.ReLU())
        self.up1 = nn.Sequential(conv(16, 8), nn.ReLU())
        self.head = nn.Conv2d(8, 2, 1)
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)

    def forward(self, x: Tensor) -> Tensor:
        first = self.down1(x)
        second = self.down2(first)
        risen = self.up2(torch.cat([self.upsample(self.middle(second)), second], 1))
        return self.head(self.up1(torch.cat([self.upsample(risen), first], 1)))


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, channels // 4, 1), nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = nn.functional.adaptive_avg_pool2d(x, 1)
        return x * nn.functional.hardsigmoid(self.expand(torch.relu(self.reduce(pooled))))


class SeparableNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv(3, 16, 3, 2), nn.Hardswish()]
        for inputs, outputs, stride in ((16, 16, 1), (16, 24, 2), (24, 24, 1)):
            layers += [conv(inputs, inputs, 3, stride, inputs), nn.Hardswish(), SqueezeExcite(inputs)]
            layers += [conv(inputs, outputs, 1), nn.Hardswish()]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


@dataclass
class Detection:
    boxes: Tensor
    scores: Tensor


class Detector(nn.Module):
    """Returns a dataclass, or a dict of the same tensors."""

    def __init__(self, as_dict: bool) -> None:
        super().__init__()
        self.as_dict = as_dict
        self.body = nn.Sequential(conv(3, 16, 3, 2), nn.ReLU(), conv(16, 16, 3, 2), nn.ReLU())
        self.boxes, self.scores = nn.Conv2d(16, 4, 1), nn.Conv2d(16, 3, 1)

    def forward(self, x: Tensor) -> Detection | dict[str, Tensor]:
        features = self.body(x)
        boxes, scores = self.boxes(features), self.scores(features)
        return {"boxes": boxes, "scores": scores} if self.as_dict else Detection(boxes, scores)


class Generator(nn.Module):
    """A DCGAN's generator: a vector becomes a picture, step by step twice as large."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((32, 32), (32, 16), (16, 8)):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.start = nn.Linear(16, 32 * 4 * 4)
        self.rise = nn.Sequential(*layers, nn.Conv2d(8, 3, 3, padding=1), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.rise(self.start(x).reshape(-1, 32, 4, 4))


class SuperResolution(nn.Module):
    """ESPCN: features at the small size, shuffled into a larger picture."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 16, 5, padding=2), nn.Tanh(), nn.Conv2d(16, 16, 3, padding=1))
        self.rise = nn.Sequential(nn.PReLU(16), nn.Conv2d(16, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.rise(self.features(x))


class NormedNet(nn.Module):
    """Group, instance and layer norm instead of batch norm, with SiLU and GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1),
            nn.GroupNorm(4, 16),
            nn.SiLU(),
            nn.Conv2d(16, 24, 3, 2, 1),
            nn.InstanceNorm2d(24, affine=True),
            nn.GELU(),
        )
        self.norm, self.head = nn.LayerNorm(24), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.body(x).flatten(2).mean(-1)))


class DenseNet(nn.Module):
    """Each layer sees all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 8, 3, 2)
        self.layers = nn.ModuleList(nn.Sequential(nn.ReLU(), conv(8 + 8 * depth, 8)) for depth in range(3))
        self.head = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(32 * 64, 10))

    def forward(self, x: Tensor) -> Tensor:
        seen = self.stem(x)
        for layer in self.layers:
            seen = torch.cat([seen, layer(seen)], 1)
        return self.head(seen)


class ShuffleNet(nn.Module):
    """Grouped 1x1 convolutions, channels mixed between groups."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 16, 3, 2), nn.ReLU())
        self.reduce, self.depth, self.grow = conv(16, 16, 1, groups=4), conv(16, 16, 3, groups=16), conv(16, 16, 1)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        batch, channels, height, width = x.shape
        mixed = torch.relu(self.reduce(x)).reshape(batch, 4, channels // 4, height, width).transpose(1, 2)
        x = torch.relu(x + self.grow(self.depth(mixed.reshape(batch, channels, height, width))))
        return self.head(x.mean((2, 3)))


class DeepLab(nn.Module):
    """Segmentation with dilated convolutions side by side, upsampled to the picture's size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 16, 3, 2), nn.LeakyReLU(0.1))
        self.branches = nn.ModuleList(nn.Conv2d(16, 8, 3, padding=rate, dilation=rate) for rate in (1, 2, 4))
        self.head = nn.Conv2d(24, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.stem(x)
        joint = torch.relu(torch.cat([branch(features) for branch in self.branches], 1))
        return nn.functional.interpolate(self.head(joint), x.shape[2:], mode="bilinear", align_corners=False)


class Mixer(nn.Module):
    """MLP-Mixer: perceptrons over patches, then over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 8, 8)
        self.norms = nn.ModuleList(nn.LayerNorm(32) for _ in range(2))
        self.across = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.along = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = x + self.across(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        x = x + self.along(self.norms[1](x))
        return self.head(x.mean(1))


class FeaturePyramid(nn.Module):
    """A detector's neck and heads at two scales: a tuple of two lists' worth of outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = nn.Sequential(conv(3, 16, 3, 4), nn.ReLU()), nn.Sequential(conv(16, 16, 3, 2), nn.ReLU())
        self.sides = nn.ModuleList(nn.Conv2d(16, 16, 1) for _ in range(2))
        self.boxes, self.scores = nn.Conv2d(16, 4, 3, padding=1), nn.Conv2d(16, 5, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low = self.low(x)
        top = self.sides[1](self.high(low))
        merged = self.sides[0](low) + nn.functional.interpolate(top, scale_factor=2.0, mode="nearest")
        levels = [top, merged]
        boxes = torch.cat([self.boxes(level).flatten(2) for level in levels], 2).transpose(1, 2)
        scores = torch.cat([self.scores(level).flatten(2) for level in levels], 2).transpose(1, 2)
        return boxes, torch.sigmoid(scores)
