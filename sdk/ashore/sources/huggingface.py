"""``hf:DIR``: a local folder of transformers, config.json with safetensors weights, or a PEFT adapter for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ashore.errors import UsageError
from ashore.sources.adapters import ADAPTER_CONFIG, load_adapter
from ashore.sources.folders import folder_name, read_json
from ashore.types.source import ModelSource
from ashore.types.tensor import Array

_SEQUENCE = 128


def load_folder(folder: Path) -> ModelSource:
    """The model of the class its config names, with example inputs of the kind it takes.

    Raises:
        UsageError: no folder, config or weights there; an architecture transformers does not know; a load that fails.
    """
    if not (folder / "config.json").exists() and (folder / ADAPTER_CONFIG).exists():
        return load_adapter(folder, load_folder)
    config = read_json(folder / "config.json")
    if not any(folder.glob("*.safetensors")):
        raise UsageError(
            f"{folder} has a config but no *.safetensors weights",
            "save the model with model.save_pretrained(folder); weights in pickle form are not loaded",
        )
    model = _load_model(folder, config)
    example = _example_inputs(model)
    labels = _labels(model.config)
    layouts = {"pixel_values": "NCHW"} if "pixel_values" in example else {}
    return ModelSource(model, example, folder_name(folder), labels=labels, layouts=layouts)


def _load_model(folder: Path, config: dict[str, Any]) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UsageError(
            f"hf: needs transformers, which cannot be imported: {error}", 'pip install "ashore[huggingface]"'
        ) from error
    wanted = str((config.get("architectures") or ["AutoModel"])[0])
    cls: Any = getattr(transformers, wanted, None)
    if not hasattr(cls, "from_pretrained"):
        raise UsageError(
            f"{folder}: transformers {transformers.__version__} has no architecture {wanted!r}",
            "models with code of their own load through file.py:function",
        )
    transformers.utils.logging.disable_progress_bar()
    try:
        model, report = cls.from_pretrained(folder, output_loading_info=True, **_loading())
    except Exception as error:
        raise UsageError(
            f"{folder} could not be loaded as {wanted}: {type(error).__name__}: {error}",
            "load it with transformers by itself to see where",
        ) from error
    _check_complete(folder, wanted, report["missing_keys"])
    return model


def _loading() -> dict[str, Any]:
    import torch

    return {
        "attn_implementation": "eager",  # exports as plain matrix products, which both delegates take whole
        "dtype": torch.float32,  # what the backends compute in, and what accuracy is judged against
        "local_files_only": True,
        "trust_remote_code": False,
        "use_safetensors": True,
    }


def _check_complete(folder: Path, wanted: str, missing: set[str]) -> None:
    """Transformers fills weights that are not there with random numbers."""
    if missing:
        names = sorted(missing)
        listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise UsageError(
            f"the weights in {folder} lack {listed}, which {wanted} needs",
            "save the fine-tuned model itself, or correct 'architectures' in config.json to the class that was saved",
        )


def _example_inputs(model: Any) -> dict[str, Any]:
    config, main = model.config, model.main_input_name
    example: dict[str, Any] = {}
    if main == "pixel_values":
        size = getattr(config, "image_size", 224)
        height, width = (size, size) if isinstance(size, int) else size
        shape = (1, getattr(config, "num_channels", 3), height, width)
        example["pixel_values"] = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    elif main == "input_values":
        example["input_values"] = np.random.default_rng(0).standard_normal((1, 16000)).astype(np.float32)
    else:
        example |= _tokens(config)
    if hasattr(config, "use_cache"):
        example["use_cache"] = False  # a cache is an object, not a tensor; each call must stand alone
    return example


def _tokens(config: Any) -> dict[str, Array]:
    length = min(_SEQUENCE, getattr(config, "max_position_embeddings", _SEQUENCE))
    tokens = np.random.default_rng(0).integers(0, config.vocab_size, (1, length))
    return {"input_ids": tokens, "attention_mask": np.ones((1, length), np.int64)}


def _labels(config: Any) -> tuple[str, ...] | None:
    named = getattr(config, "id2label", None) or {}
    generic = all(str(label) == f"LABEL_{index}" for index, label in named.items())
    return None if generic else tuple(str(named[index]) for index in sorted(named))
