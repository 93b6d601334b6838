"""Run a finished file once, in a process of its own, and see what the XNNPACK delegate took.

Conversion can succeed and yield a file that the interpreter refuses or that takes it down. The child costs the user
one sentence instead of their interpreter.

Run as a program, ``python -m ashore_converters.litert.trial FILE [infer]`` prints one JSON document: ``{"ops": [[name,
inputs, outputs], …]}`` or ``{"error": …}``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ashore.limits import confine, memory_limit_bytes
from ashore.types.conversion import Delegation, UndelegatedOp

_TIME_LIMIT_S = 600.0
_LOAD_LIMIT_S = 60.0
_DELEGATE = "DELEGATE"


@dataclass(frozen=True)
class Node:
    """An operator or a delegate call, with the indices of the tensors it takes and makes."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Trial:
    """``problem`` is the interpreter's own words where the file does not run; then ``delegation`` is None.

    ``outside``: the operators that run outside of the delegate, by their place in the file.
    """

    delegation: Delegation | None
    problem: str = ""
    outside: frozenset[int] = frozenset()


def try_file(path: Path, *, infer: bool = True) -> Trial:
    """Load ``path``, and run it once on zeros unless told otherwise."""
    command = [sys.executable, "-m", __spec__.name, str(path), *(["infer"] if infer else [])]
    limit_s = _TIME_LIMIT_S if infer else _LOAD_LIMIT_S
    try:
        # What the library prints may quote the file, which may hold any bytes.
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return Trial(None, f"loading {'and one inference ' if infer else ''}took longer than {limit_s:.0f} s")
    try:
        answer = json.loads(done.stdout)
    except json.JSONDecodeError:
        return Trial(None, _how_it_ended(done))
    if "error" in answer:
        return Trial(None, answer["error"])
    return judge([Node(name, tuple(i), tuple(o)) for name, i, o in answer["ops"]])


def judge(nodes: Iterable[Node]) -> Trial:
    """Which operators run inside delegate calls.

    The interpreter lists the original operators and, after them, the calls that replaced some. A call contains
    exactly the operators that lead from its inputs to its outputs.
    """
    ops = [node for node in nodes if node.name != _DELEGATE]
    calls = [node for node in nodes if node.name == _DELEGATE]
    inside = {index for call in calls for index in _inside(call, ops)}
    outside = frozenset(range(len(ops))) - inside
    counts = Counter(ops[index].name for index in outside)
    undelegated = tuple(UndelegatedOp(name, count) for name, count in sorted(counts.items(), key=lambda c: (-c[1], c)))
    return Trial(Delegation(len(inside), len(ops), len(calls), undelegated), outside=outside)


def _inside(call: Node, ops: list[Node]) -> set[int]:
    makers = {tensor: index for index, op in enumerate(ops) for tensor in op.outputs}
    given, found, wanted = set(call.inputs), set[int](), list(call.outputs)
    while wanted:
        tensor = wanted.pop()
        index = makers.get(tensor)
        if tensor not in given and index is not None and index not in found:
            found.add(index)
            wanted.extend(ops[index].inputs)
    return found


def _how_it_ended(done: subprocess.CompletedProcess[str]) -> str:
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    ending = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    return f"the interpreter's process died with {ending}: {last}"


def _run(path: str, infer: bool) -> dict[str, object]:
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=path, num_threads=1)
        interpreter.allocate_tensors()
        if infer:
            _infer(interpreter)
    except (RuntimeError, ValueError) as error:
        return {"error": str(error).strip()}
    details = interpreter._get_ops_details()
    return {"ops": [[d["op_name"], _indices(d["inputs"]), _indices(d["outputs"])] for d in details]}


def _infer(interpreter: Any) -> None:
    import numpy as np

    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
    interpreter.invoke()
    for detail in interpreter.get_output_details():
        interpreter.get_tensor(detail["index"])


def _indices(tensors: Iterable[int]) -> list[int]:
    return [int(tensor) for tensor in tensors if tensor >= 0]


if __name__ == "__main__":
    confine(os.getpid(), memory_limit_bytes())
    print(json.dumps(_run(sys.argv[1], "infer" in sys.argv[2:])))
