"""The architectures of the transformers library, tiny and random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ashore import ModelSource
from conformance.samples import images, lively, settled, tokens, vectors

VOCABULARY = 200
SMALL = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "attn_implementation": "eager",
}


class _Plain(nn.Module):
    """The first tensor of a model's result, which is what people deploy."""

    def __init__(self, model: nn.Module, **fixed: bool) -> None:
        super().__init__()
        self.model, self.fixed = model, fixed


class _Text(_Plain):
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask, **self.fixed)[0]


class _Picture(_Plain):
    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.model(pixel_values=pixel_values, **self.fixed)[0]


class _Sound(_Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.model(x, **self.fixed)[0]


def _make(name: str, **settings: Any) -> nn.Module:
    """``name`` is a model class such as BertModel; its configuration class has the same prefix."""
    import transformers as tf

    kind: Any = getattr(tf, name)
    module: nn.Module = lively(kind(kind.config_class(**settings)).eval())
    return module


def text(name: str, use_cache: bool | None = None, **settings: Any) -> Callable[[], ModelSource]:
    fixed = {} if use_cache is None else {"use_cache": use_cache}
    common = {"vocab_size": VOCABULARY, "max_position_embeddings": 64}
    return lambda: tokens(_Text(_make(name, **{**common, **SMALL, **settings}), **fixed), VOCABULARY)


def picture(name: str, size: int = 32, small: bool = True, **settings: Any) -> Callable[[], ModelSource]:
    common = {**SMALL, "image_size": size} if small else {}
    return lambda: images(_Picture(_make(name, **{**common, **settings})), size, name="pixel_values")


def convolutional(name: str, **settings: Any) -> Callable[[], ModelSource]:
    """With batch norms that have seen data."""
    model = lambda: settled(_Picture(_make(name, **settings)), (1, 3, 32, 32))  # noqa: E731
    return lambda: images(model(), name="pixel_values")


def distilbert() -> ModelSource:
    sizes = {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128, "attn_implementation": "eager"}
    model = _make("DistilBertModel", vocab_size=VOCABULARY, max_position_embeddings=64, **sizes)
    return tokens(_Text(model), VOCABULARY)


def t5_encoder() -> ModelSource:
    sizes = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4}
    return tokens(_Text(_make("T5EncoderModel", vocab_size=VOCABULARY, **sizes)), VOCABULARY)


def whisper_encoder() -> ModelSource:
    sizes = {"d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 128}
    small = {"decoder_layers": 1, "decoder_attention_heads": 4, "decoder_ffn_dim": 64, "vocab_size": VOCABULARY}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3}
    rest = {"num_mel_bins": 16, "max_source_positions": 32, "attn_implementation": "eager"}
    model: Any = _make("WhisperModel", **sizes, **small, **rest, **tokens)
    return vectors(_Sound(model.encoder), 1, 16, 64)


def wav2vec2() -> ModelSource:
    front = {"conv_dim": (16, 16, 32), "conv_stride": (5, 4, 4), "conv_kernel": (10, 8, 4)}
    rest = {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4, "vocab_size": 32}
    model = _make("Wav2Vec2ForCTC", **SMALL, **front, **rest, num_feat_extract_layers=3)
    return vectors(_Sound(model), 1, 1600)


def clip_text() -> ModelSource:
    return text("CLIPTextModel", eos_token_id=1, pad_token_id=0, bos_token_id=0)()


def vit() -> ModelSource:
    """Whole, as its result is a dataclass-like dict of tensors."""
    model = _make("ViTForImageClassification", **SMALL, image_size=32, patch_size=8, num_labels=10)
    return images(model, name="pixel_values")
