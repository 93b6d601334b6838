"""Programs that some tests cannot do without."""

from __future__ import annotations

import os
import shutil

import pytest


def require_programs(**packages: str) -> None:
    """Skip with the reason where a program is missing; in CI, which has to bring it, fail.

    Args:
        packages: Debian's package of each program, by the program's name with ``_`` for ``-``.
    """
    missing = {name: package for name, package in packages.items() if shutil.which(name.replace("_", "-")) is None}
    if not missing:
        return
    reason = f"not on the PATH: {', '.join(missing).replace('_', '-')}; apt-get install {' '.join(missing.values())}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
