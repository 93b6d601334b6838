"""Nets for sequences, signals and vectors as people write them by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from ashore import DynamicDim, ModelSource
from conformance.samples import normal, vectors


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.cells = kind(16, 32, num_layers=1, batch_first=True)
        self.head = nn.Linear(32, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cells(x)[0][:, -1])


class AudioNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((1, 8), (8, 16), (16, 32)):
            layers += [nn.Conv1d(inputs, outputs, 9, 4, 4), nn.BatchNorm1d(outputs), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(32, 12)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean(-1))


class TwoByTwo(nn.Module):
    """Two inputs, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.head = nn.Linear(16, 32), nn.Linear(8, 32), nn.Linear(32, 4)

    def forward(self, picture: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
        joint = torch.relu(self.left(picture) + self.right(pose))
        return self.head(joint), joint


class Perceptron(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class SequenceEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(100, 32)
        self.layer = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32))

    def forward(self, tokens: Tensor) -> Tensor:
        embedded = self.embedding(tokens)
        return embedded + self.layer(embedded)


class CausalBlock(nn.Module):
    """A dilated convolution that sees the past only."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.past = 2 * dilation
        self.conv, self.norm = nn.Conv1d(channels, channels, 3, dilation=dilation), nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.norm(self.conv(nn.functional.pad(x, (self.past, 0)))))


class TemporalConvolution(nn.Module):
    """A TCN: dilated causal convolutions with residual connections."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(8, 16, 1)
        self.blocks = nn.Sequential(*[CausalBlock(16, dilation) for dilation in (1, 2, 4, 8)])
        self.head = nn.Conv1d(16, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)))


class ResidualPerceptron(nn.Module):
    """A tabular net: perceptron blocks around which the features pass."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(20, 48), nn.Linear(48, 2)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.BatchNorm1d(48), nn.Linear(48, 96), nn.SiLU(), nn.Linear(96, 48)) for _ in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


class Autoencoder(nn.Module):
    """A vector through a narrow place and back, with the code as a second output."""

    def __init__(self) -> None:
        super().__init__()
        widths = (64, 32, 8)
        self.down = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.up = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths[::-1]))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = x
        for layer in self.down:
            code = nn.functional.elu(layer(code))
        risen = nn.functional.softplus(self.up[0](code))
        return self.up[1](risen), code


def two_by_two() -> ModelSource:
    pairs = list(zip(normal(1, 16), normal(1, 8, seed=8), strict=True))
    return ModelSource(TwoByTwo(), pairs[0], calibration=pairs[:16], evaluation=pairs[16:])


def dynamic_batch() -> ModelSource:
    source = vectors(Perceptron(), 4, 64, dynamic=DynamicDim("batch", 1, 8))
    return replace(source, evaluation=[*normal(4, 64, count=4), *normal(1, 64, count=4), *normal(8, 64, count=4)])


def dynamic_sequence() -> ModelSource:
    generator = torch.Generator().manual_seed(5)
    samples = [torch.randint(0, 100, (1, length), generator=generator) for length in (16, 2, 7, 32, 16, 9)]
    dim = {"tokens": {1: DynamicDim("sequence", 2, 32)}}
    return ModelSource(SequenceEncoder(), (samples[0],), dynamic_shapes=dim, calibration=samples, evaluation=samples)
