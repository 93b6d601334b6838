"""``hf:DIR`` where the folder holds an adapter of PEFT, such as LoRA, for a model in another folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ashore.errors import UsageError
from ashore.sources.folders import folder_name, read_json
from ashore.types.source import ModelSource

ADAPTER_CONFIG = "adapter_config.json"
_BY_HAND = "build the two by hand in file.py:function: return PeftModel.from_pretrained(base_model, folder)"


def load_adapter(folder: Path, load_base: Callable[[Path], ModelSource]) -> ModelSource:
    """The base model that the adapter names, with the adapter on it.

    Raises:
        UsageError: PEFT is not installed; the base is no local folder, or does not load; the adapter does not fit it.
    """
    base = _base_folder(folder, read_json(folder / ADAPTER_CONFIG))
    if not (folder / "adapter_model.safetensors").is_file():
        raise UsageError(
            f"{folder} has an adapter's config but no adapter_model.safetensors",
            "save the adapter with model.save_pretrained(folder); weights in pickle form are not loaded",
        )
    source = load_base(base)
    return replace(source, model=_adapted(source.model, folder), name=folder_name(folder))


def _base_folder(folder: Path, config: dict[str, Any]) -> Path:
    """Where the adapter says, seen from here, else from its own folder."""
    named = str(config.get("base_model_name_or_path") or "")
    for base in (Path(named), folder / named):
        if named and base.is_dir():
            return base
    raise UsageError(
        f"the adapter in {folder} is for the model {named!r}, which is no folder here",
        f"ashore downloads nothing: save that model with save_pretrained and name its folder as "
        f"base_model_name_or_path in {ADAPTER_CONFIG}",
    )


def _adapted(model: Any, folder: Path) -> Any:
    try:
        from peft import PeftModel
    except ImportError as error:
        raise UsageError(
            f"{folder} holds an adapter of PEFT, which cannot be imported: {error}",
            "pip install peft; or merge the adapter where it was trained, with "
            "model.merge_and_unload().save_pretrained(folder), and give that folder",
        ) from error
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            adapted = PeftModel.from_pretrained(model, str(folder), local_files_only=True)
    except Exception as error:  # peft's, torch's and those of safetensors
        raise UsageError(
            f"the adapter in {folder} does not fit its base model: {type(error).__name__}: {error}", _BY_HAND
        ) from error
    for each in told:
        if "missing adapter keys" in str(each.message):  # peft leaves them at their random start
            raise UsageError(f"the adapter in {folder} is not complete: {each.message}", _BY_HAND)
    return adapted
