"""Instruction counts of models on the emulator: what must agree, and what must be the model's own."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import ashore
import conversions
from ashore.pipeline.artifacts import load_artifact
from ashore.types.profile import InstructionCounts
from ashore_runtimes.emulator import QEMU, EmulatorRuntime
from commands import Command
from programs import require_programs

CLASSES = ["dot_product", "float_fma", "neon", "memory", "other"]
ROWS, WIDTH = 12, 256
"""Of each layer's input."""


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    require_programs(qemu_aarch64="qemu-user", gcc="gcc", cmake="cmake", make="make")
    require_programs(**{"aarch64_linux_gnu_g++": "g++-aarch64-linux-gnu"})


def layers(count: int) -> ashore.ModelSource:
    linear = (module for _ in range(count) for module in (nn.Linear(WIDTH, WIDTH), nn.ReLU()))
    return conversions.noisy_source(nn.Sequential(*linear), (ROWS, WIDTH))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, ashore.Artifact]:
    """Four layers in float32 and in int8, and eight in float32."""
    folder = tmp_path_factory.mktemp("layers")
    return {
        "four": conversions.to_executorch(layers(4), "fp32", folder / "4"),
        "four int8": conversions.to_executorch(layers(4), "int8", folder / "4"),
        "eight": conversions.to_executorch(layers(8), "fp32", folder / "8"),
    }


def count(artifact: ashore.Artifact, cpu: str = "cortex-a76", runs: int = 2) -> InstructionCounts:
    """In a process of its own, as every call is."""
    target = EmulatorRuntime().target(f"emulator:{cpu}")
    with target.open(artifact) as session:
        inputs = {spec.name: np.ones(spec.shape, spec.dtype) for spec in session.inputs}
    return target.count_instructions(artifact, inputs, runs=runs)  # type: ignore[attr-defined, no-any-return]


def test_counts_agree_in_every_run_of_every_process(
    converted: list[Path], files: Mapping[str, ashore.Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    for artifact in (files["four"], *map(load_artifact, converted)):
        samples: list[int] = []
        for length in (0, 100, 5000):  # the environment shifts a process's stack
            monkeypatch.setenv("ASHORE_TEST_PADDING", "x" * length)
            samples += count(artifact, runs=3).samples
        assert len(samples) == 9
        assert max(samples) <= 1.001 * min(samples), samples


def test_the_classes_are_parts_of_the_whole(files: Mapping[str, ashore.Artifact]) -> None:
    counts = count(files["four int8"])
    assert list(counts.by_class) == CLASSES
    assert sum(counts.by_class.values()) == counts.per_run
    assert counts.per_run in counts.samples
    assert counts.method.startswith(f"plugin in {QEMU} ")


def test_int8_runs_on_dot_products_where_the_cpu_has_them(
    converted: list[Path], files: Mapping[str, ashore.Artifact]
) -> None:
    for artifact in (files["four int8"], *map(load_artifact, converted)):
        newer, older = count(artifact), count(artifact, "cortex-a53")
        assert newer.by_class["dot_product"] > 0
        assert older.by_class["dot_product"] == 0
        assert older.by_class["neon"] > newer.by_class["neon"]
    assert count(files["four"]).by_class["dot_product"] == 0


def test_twice_the_layers_are_twice_the_instructions(files: Mapping[str, ashore.Artifact]) -> None:
    four, eight = count(files["four"]), count(files["eight"])
    assert eight.per_run == pytest.approx(2 * four.per_run, rel=0.05)
    assert eight.by_class["float_fma"] == pytest.approx(2 * four.by_class["float_fma"], rel=0.01)


def test_multiplications_are_the_models_own(files: Mapping[str, ashore.Artifact]) -> None:
    """A vector holds four float32, and a dot product multiplies sixteen pairs of int8. Kernels compute whole tiles of
    rows, the last with some in vain."""
    own = 4 * ROWS * WIDTH * WIDTH
    assert own <= 4 * count(files["four"]).by_class["float_fma"] < 1.25 * own
    assert own <= 16 * count(files["four int8"]).by_class["dot_product"] < 1.25 * own


def test_kernels_are_those_of_the_emulated_cpu(files: Mapping[str, ashore.Artifact]) -> None:
    """XNNPACK loads by halves on the Cortex-A53, which can load and compute at once only then."""
    newer, older = count(files["four"]), count(files["four"], "cortex-a53")
    assert older.by_class["float_fma"] == pytest.approx(newer.by_class["float_fma"], rel=0.2)
    assert older.by_class["memory"] > 2 * newer.by_class["memory"]


def test_counts_agree_on_machines_of_any_size(
    files: Mapping[str, ashore.Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = count(files["four int8"]).per_run
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert count(files["four int8"]).per_run == pytest.approx(here, rel=0.001)


def test_a_profile_of_the_emulator_carries_counts(
    files: Mapping[str, ashore.Artifact], command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd_folder = tmp_path / "with, a comma"
    odd_folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd_folder))
    (result,) = profile(command, files["four"], tmp_path)
    instructions = result["instructions"]
    assert instructions["per_run"] == sum(instructions["by_class"].values())
    assert len(instructions["samples"]) == 3
    assert "latency_ns" not in result
    assert not list(odd_folder.iterdir())


def test_a_qemu_without_plugins_is_a_reason_not_a_zero(
    files: Mapping[str, ashore.Artifact], command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poor = tmp_path / QEMU
    refusal = 'case "$*" in *-plugin*) echo "qemu: unknown option \'plugin\'" >&2; exit 1;; esac'
    poor.write_text(f'#!/bin/sh\n{refusal}\nexec {shutil.which(QEMU)} "$@"\n')
    poor.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (result,) = profile(command, files["four"], tmp_path)
    assert "instructions" not in result
    reason = result["skipped"]["instructions"]
    assert "does not start with ashore's instruction counter" in reason
    assert "unknown option 'plugin'" in reason
    assert result["memory"]["peak_bytes"] > 0


def profile(command: Command, artifact: ashore.Artifact, folder: Path) -> list[dict[str, Any]]:
    output = folder / "profile.json"
    done = command("profile", artifact.file, "--target", "emulator:cortex-a76", "-o", output)
    assert done.code == 0, done.err
    results: list[dict[str, Any]] = json.loads(output.read_text())["results"]
    return results
