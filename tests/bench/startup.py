"""``ashore --help``, as a whole process."""

from __future__ import annotations

import subprocess
import sys

from effort import Effort
from files import Files
from processes import ashore_command, cost_of
from tables import Row, Section, Target
from turns import estimate, exactly, in_turns

_HEAVY = ("torch", "executorch", "litert_torch", "ai_edge_litert", "transformers")
_IMPORTED = f"""
import sys
from ashore.cli import main
try:
    main()
finally:
    print(len({{name.partition(".")[0] for name in sys.modules}} & set({_HEAVY!r})), file=sys.stderr)
"""


def sections(_: Files, effort: Effort) -> list[Section]:
    commands = {"python": [sys.executable, "-c", "pass"], "ashore": ashore_command("--help")}
    contenders = {name: lambda command=command: cost_of(command).wall_s for name, command in commands.items()}
    turns = in_turns(contenders, effort.starts)
    walls = [f"{turns.median(name):.3f}" for name in commands]
    rows = (
        Row("wall time, s", *walls, estimate(turns.figures["ashore"]), Target("{:.3f} s", 0.25)),
        Row("heavy libraries imported", "", "", exactly(_heavy_imports()), Target("{:.0f}", 0)),
    )
    return [Section("ashore --help", ("whole process", "bare python", "ashore"), rows)]


def _heavy_imports() -> int:
    done = subprocess.run([sys.executable, "-c", _IMPORTED, "--help"], capture_output=True, text=True, check=True)
    return int(done.stderr.strip().splitlines()[-1])
