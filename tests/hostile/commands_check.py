"""Cases through the real commands: exit codes, one clean JSON document, no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from hostile.corpus import Case, State
from hostile.original import Original

_SCRIPT = (sys.executable, "-c", "from ashore.cli import main; main()")
_LIMIT_S = 120.0
COMMANDS = ("run", "verify", "inspect")


def expected_codes(case: Case, command: str) -> set[int]:
    regular = isinstance(case.parts[case.model], bytes)
    absent = set() if regular else {2}
    if case.state is State.VOUCHED:
        return {5} | absent
    if case.state is State.BARE:
        return {"run": {0, 5, 6}, "verify": {2}, "inspect": {0, 5}}[command] | absent
    return {0, 5} if command == "inspect" else {0, 4, 5, 6}


def check_command(case: Case, original: Original, command: str) -> tuple[int, str | None]:
    """The exit code, and why the outcome may not be; None where all is well."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as name:
        folder = Path(name)
        file = case.lay_out(folder)
        words = [command, str(file), "--json"]
        if command == "run":
            np.savez(folder / "in.npz", allow_pickle=False, **_inputs(case, original))
            words += ["--inputs", str(folder / "in.npz"), "--output", str(folder / "out.npz")]
        try:
            done = subprocess.run([*_SCRIPT, *words], capture_output=True, timeout=_LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            return -1, f"{command} hangs"
    return done.returncode, _complaint(case, command, done)


def _inputs(case: Case, original: Original) -> dict[str, np.ndarray]:
    """A bare .pte has no names for its inputs."""
    nameless = case.state is State.BARE and original.backend == "executorch"
    return {
        f"input_{index}" if nameless else spec["name"]: np.zeros(spec["shape"], spec["dtype"])
        for index, spec in enumerate(original.fields["inputs"])
    }


def _complaint(case: Case, command: str, done: subprocess.CompletedProcess[bytes]) -> str | None:
    if done.returncode not in expected_codes(case, command):
        return f"{command} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}"
    if b"Traceback" in done.stderr:
        return f"{command} shows a traceback: {done.stderr.decode(errors='replace')[-300:]}"
    try:
        document = json.loads(done.stdout)
    except ValueError as error:
        return f"{command} does not print one JSON document: {error}"
    told = document.get("error", {}).get("exit_code", 0)
    fails_its_floor = command == "verify" and done.returncode == 4
    return (
        None if told == done.returncode or fails_its_floor else f"{command} says {told} and ends with {done.returncode}"
    )
