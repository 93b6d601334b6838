"""The runner in Python, for machines without a compiler."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ashore_runtimes.runner.launch import Launch

# The child gets the parent's import path, so that it finds the same libraries in every kind of installation, but after
# its own entries, so that a file beside the user's script can never stand in for a module of Python's.
_BOOT = """
import json, sys
sys.path += [entry for entry in json.loads(sys.argv.pop(1)) if entry not in sys.path]
from ashore_runtimes.worker.main import main
main()
"""


def python_launch(engine: str, threads: int, *, shared: bool = True) -> Launch:
    """Starts a child of the same Python, which imports the installed libraries."""
    # A relative entry would mean another folder the day the child changes its own.
    path = [entry for entry in sys.path if Path(entry).is_absolute()]
    return Launch(
        (sys.executable, "-I", "-c", _BOOT, json.dumps(path), engine, "--threads", str(threads)),
        shared=shared,
        # The engines have pools of their own; those that numpy and torch would make only take memory.
        environment={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        threads=threads,
    )
