"""Small models of the architectures people deploy, with weights that keep their outputs alive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ashore import DynamicDim, ModelSource


@dataclass(frozen=True)
class Specimen:
    """``int8``: the int8 precision that makes sense for this architecture."""

    name: str
    build: Callable[[], ModelSource]
    int8: str


def _normal(*shape: int, count: int = 24, seed: int = 7) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator) for _ in range(count)]


def _images(module: nn.Module, size: int = 32, channels: int = 3) -> ModelSource:
    pictures = _normal(1, channels, size, size)
    return ModelSource(
        module, (pictures[0],), layouts={"x": "NCHW"}, calibration=pictures[:16], evaluation=pictures[16:]
    )


def _settled(module: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """Batch norms that have seen data: with fresh statistics, deep random nets fade out or explode."""
    module.train()
    with torch.no_grad():
        for batch in _normal(8, *shape[1:], count=12, seed=3):
            module(batch)
    return module.eval()


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)
    )


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        wide = inputs * 4
        self.skip = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            _conv(inputs, wide, 1), nn.ReLU6(), _conv(wide, wide, 3, stride, wide), nn.ReLU6(), _conv(wide, outputs, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.skip else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        blocks = [InvertedResidual(8, 16, 2), InvertedResidual(16, 16, 1), InvertedResidual(16, 24, 2)]
        self.features = nn.Sequential(_conv(3, 8, 3, 2), nn.ReLU6(), *blocks)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(24, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = _conv(inputs, outputs, 3, stride), _conv(outputs, outputs)
        self.shortcut = nn.Identity() if stride == 1 and inputs == outputs else _conv(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(3, 8, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.layers = nn.Sequential(BasicBlock(8, 8, 1), BasicBlock(8, 16, 2), BasicBlock(16, 16, 1))
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(nn.functional.adaptive_avg_pool2d(self.layers(self.stem(x)), 1), 1))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.Sequential(_conv(3, 8), nn.ReLU())
        self.down2 = nn.Sequential(nn.MaxPool2d(2), _conv(8, 16), nn.ReLU())
        self.middle = nn.Sequential(nn.MaxPool2d(2), _conv(16, 16), nn.ReLU())
        self.up2 = nn.Sequential(_conv(32, 8), nn.ReLU())
        self.up1 = nn.Sequential(_conv(16, 8), nn.ReLU())
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
        layers: list[nn.Module] = [_conv(3, 16, 3, 2), nn.Hardswish()]
        for inputs, outputs, stride in ((16, 16, 1), (16, 24, 2), (24, 24, 1)):
            layers += [_conv(inputs, inputs, 3, stride, inputs), nn.Hardswish(), SqueezeExcite(inputs)]
            layers += [_conv(inputs, outputs, 1), nn.Hardswish()]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


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


@dataclass
class Detection:
    boxes: Tensor
    scores: Tensor


class Detector(nn.Module):
    """Returns a dataclass, or a dict of the same tensors."""

    def __init__(self, as_dict: bool) -> None:
        super().__init__()
        self.as_dict = as_dict
        self.body = nn.Sequential(_conv(3, 16, 3, 2), nn.ReLU(), _conv(16, 16, 3, 2), nn.ReLU())
        self.boxes, self.scores = nn.Conv2d(16, 4, 1), nn.Conv2d(16, 3, 1)

    def forward(self, x: Tensor) -> Detection | dict[str, Tensor]:
        features = self.body(x)
        boxes, scores = self.boxes(features), self.scores(features)
        return {"boxes": boxes, "scores": scores} if self.as_dict else Detection(boxes, scores)


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


def _vectors(module: nn.Module, *shape: int, name: str = "x", dynamic: DynamicDim | None = None) -> ModelSource:
    samples = _normal(*shape)
    shapes = {name: {0: dynamic}} if dynamic else {}
    return ModelSource(module, (samples[0],), dynamic_shapes=shapes, calibration=samples[:16], evaluation=samples[16:])


def _two_by_two() -> ModelSource:
    pairs = list(zip(_normal(1, 16), _normal(1, 8, seed=8), strict=True))
    return ModelSource(TwoByTwo(), pairs[0], calibration=pairs[:16], evaluation=pairs[16:])


def _dynamic_batch() -> ModelSource:
    source = _vectors(Perceptron(), 4, 64, dynamic=DynamicDim("batch", 1, 8))
    return ModelSource(
        source.model,
        source.example_inputs,
        dynamic_shapes=source.dynamic_shapes,
        calibration=source.calibration,
        evaluation=[*_normal(4, 64, count=4), *_normal(1, 64, count=4), *_normal(8, 64, count=4)],
    )


def _dynamic_sequence() -> ModelSource:
    generator = torch.Generator().manual_seed(5)
    samples = [torch.randint(0, 100, (1, length), generator=generator) for length in (16, 2, 7, 32, 16, 9)]
    dim = {"tokens": {1: DynamicDim("sequence", 2, 32)}}
    return ModelSource(SequenceEncoder(), (samples[0],), dynamic_shapes=dim, calibration=samples, evaluation=samples)


def _tokens(model: nn.Module, vocabulary: int, length: int = 16) -> ModelSource:
    generator = torch.Generator().manual_seed(5)
    samples = []
    for index in range(16):
        mask = torch.ones(1, length, dtype=torch.int64)
        mask[:, length - index % 6 :] = 0 if index % 6 else 1
        samples.append(
            {"input_ids": torch.randint(0, vocabulary, (1, length), generator=generator), "attention_mask": mask}
        )
    return ModelSource(model, samples[0], calibration=samples[:8], evaluation=samples[8:])


class _Plain(nn.Module):
    """The first tensor of a transformers model's result, which is what people deploy."""

    def __init__(self, model: nn.Module, **fixed: bool) -> None:
        super().__init__()
        self.model, self.fixed = model, fixed

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask, **self.fixed)[0]


def _bert() -> ModelSource:
    import transformers as tf

    config = tf.BertConfig(
        vocab_size=200,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=64,
        attn_implementation="eager",
    )
    return _tokens(_Plain(tf.BertModel(config)), 200)


def _distilbert() -> ModelSource:
    import transformers as tf

    config = tf.DistilBertConfig(
        vocab_size=200,
        max_position_embeddings=64,
        dim=64,
        n_layers=2,
        n_heads=4,
        hidden_dim=128,
        attn_implementation="eager",
    )
    return _tokens(_Plain(tf.DistilBertModel(config)), 200)


def _llama() -> ModelSource:
    import transformers as tf

    config = tf.LlamaConfig(
        vocab_size=200,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        attn_implementation="eager",
    )
    return _tokens(_Plain(tf.LlamaForCausalLM(config), use_cache=False), 200)


def _vit() -> ModelSource:
    import transformers as tf

    config = tf.ViTConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        image_size=32,
        patch_size=8,
        num_labels=10,
        attn_implementation="eager",
    )
    pictures = [{"pixel_values": picture} for picture in _normal(1, 3, 32, 32)]
    model = tf.ViTForImageClassification(config)  # its result is a dataclass-like dict of tensors
    layouts = {"pixel_values": "NCHW"}
    return ModelSource(model, pictures[0], layouts=layouts, calibration=pictures[:16], evaluation=pictures[16:])


def _cnn(build: Callable[[], nn.Module]) -> Callable[[], ModelSource]:
    return lambda: _images(_settled(build(), (1, 3, 32, 32)))


SPECIMENS = (
    Specimen("mobilenet_v2", _cnn(MobileNetV2), "int8"),
    Specimen("resnet", _cnn(ResNet), "int8"),
    Specimen("unet", _cnn(UNet), "int8"),
    Specimen("separable_se", _cnn(SeparableNet), "int8"),
    Specimen("detector_dict", _cnn(lambda: Detector(True)), "int8"),
    Specimen("detector_dataclass", _cnn(lambda: Detector(False)), "int8"),
    Specimen("audio_1d", lambda: _vectors(_settled(AudioNet(), (1, 1, 1024)), 1, 1, 1024), "int8"),
    Specimen("perceptron", lambda: _vectors(Perceptron(), 1, 64), "int8"),
    Specimen("two_by_two", _two_by_two, "int8"),
    Specimen("dynamic_batch", _dynamic_batch, "int8-dynamic"),
    Specimen("dynamic_sequence", _dynamic_sequence, "int8-dynamic"),
    Specimen("lstm", lambda: _vectors(Recurrent(nn.LSTM), 1, 12, 16), "int8-dynamic"),
    Specimen("gru", lambda: _vectors(Recurrent(nn.GRU), 1, 12, 16), "int8-dynamic"),
    Specimen("vit", _vit, "int8-dynamic"),
    Specimen("bert", _bert, "int8-dynamic"),
    Specimen("distilbert", _distilbert, "int8-dynamic"),
    Specimen("llama", _llama, "int8-dynamic"),
)


def build(specimen: Specimen) -> ModelSource:
    """The specimen's source with the same weights each time."""
    torch.manual_seed(11)
    return specimen.build()
