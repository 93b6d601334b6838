"""What the folders that ``save_pretrained`` writes have in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ashore.errors import UsageError


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file of settings. Raises UsageError where there is none."""
    if not path.is_file():
        raise UsageError(
            f"there is no {path}", "give the local folder that model.save_pretrained wrote; ashore downloads nothing"
        )
    try:
        settings = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise UsageError(f"{path} is not readable JSON: {error}", "save the model again") from error
    if not isinstance(settings, dict):
        raise UsageError(f"{path} holds no JSON object", "save the model again")
    return settings


def folder_name(folder: Path) -> str:
    return folder.resolve().name or "model"
