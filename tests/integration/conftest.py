"""Model files for tests of what runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what ``tiny_files.py`` makes."""
    folder = tmp_path_factory.mktemp("tiny-files")
    script = Path(__file__).with_name("tiny_files.py")
    made = subprocess.run([sys.executable, "-W", "ignore", script, folder], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return folder
