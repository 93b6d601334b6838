"""Sources from modules: seeded samples of the usual kinds, and weights that keep a random net's outputs alive."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ashore import DynamicDim, ModelSource


def normal(*shape: int, count: int = 24, seed: int = 7) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator) for _ in range(count)]


def pictures(batch: int, channels: int, size: int, count: int = 24, seed: int = 7) -> list[Tensor]:
    """Noise with a colour each: plain noise has the same average in every picture, and so the same answer."""
    noise, colours = (
        normal(batch, channels, size, size, count=count, seed=seed),
        normal(batch, channels, 1, 1, count=count),
    )
    return [grain + colour for grain, colour in zip(noise, colours, strict=True)]


def images(module: nn.Module, size: int = 32, channels: int = 3, name: str = "x") -> ModelSource:
    samples = [{name: picture} for picture in pictures(1, channels, size)]
    return _split(module, samples, 16, {name: "NCHW"})


def vectors(module: nn.Module, *shape: int, name: str = "x", dynamic: DynamicDim | None = None) -> ModelSource:
    samples = normal(*shape)
    shapes = {name: {0: dynamic}} if dynamic else {}
    return ModelSource(module, (samples[0],), dynamic_shapes=shapes, calibration=samples[:16], evaluation=samples[16:])


def tokens(module: nn.Module, vocabulary: int, length: int = 16) -> ModelSource:
    """Sentences of several lengths, padded; the mask is 0 on padding."""
    generator = torch.Generator().manual_seed(5)
    samples = []
    for index in range(16):
        mask = torch.ones(1, length, dtype=torch.int64)
        mask[:, length - index % 6 :] = 0 if index % 6 else 1
        ids = torch.randint(2, vocabulary, (1, length), generator=generator)
        samples.append({"input_ids": ids, "attention_mask": mask})
    return _split(module, samples, 8, {})


def _split(
    module: nn.Module, samples: Sequence[dict[str, Tensor]], calibration: int, layouts: dict[str, str]
) -> ModelSource:
    held, rest = samples[:calibration], samples[calibration:]
    return ModelSource(module, samples[0], layouts=layouts, calibration=held, evaluation=rest)


def settled(module: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """Batch norms that have seen data: with fresh statistics, deep random nets fade out or explode."""
    module.train()
    with torch.no_grad():
        whole = (
            pictures(8, *shape[1:3], count=12, seed=3) if len(shape) == 4 else normal(8, *shape[1:], count=12, seed=3)
        )
        for batch in whole:
            module(batch)
    return module.eval()


def lively(module: nn.Module) -> nn.Module:
    """Weights that pass variance on (LeCun's 1/fan-in) instead of a library's 0.02, with which a net hardly reacts."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            weight = layer.weight
            nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
            if layer.bias is not None:
                nn.init.normal_(layer.bias, std=0.1)
        elif isinstance(layer, nn.Embedding):
            nn.init.normal_(layer.weight)
    return module


def cnn(build: Callable[[], nn.Module], size: int = 32) -> Callable[[], ModelSource]:
    return lambda: images(settled(lively(build()), (1, 3, size, size)), size)
