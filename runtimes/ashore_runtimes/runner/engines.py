"""Which engines are installed in this Python, looked up without importing them."""

from __future__ import annotations

import importlib.metadata

from ashore_runtimes.runner.wheels import DISTRIBUTIONS


def engine_versions() -> dict[str, str]:
    """Backend -> version of its engine, for those that are installed."""
    found = {}
    for backend, distribution in DISTRIBUTIONS.items():
        try:
            found[backend] = importlib.metadata.distribution(distribution).version
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
