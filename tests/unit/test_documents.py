"""What the documents show is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import ashore
from ashore import registry
from ashore.cli import cli
from ashore.types.precision import Precision

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks_of_formats() -> list[str]:
    return re.findall(r"```toml\n(.*?)```", (ROOT / "docs/formats.md").read_text(), re.DOTALL)


def test_the_target_in_formats_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = [block for block in blocks_of_formats() if "kind" in block]
    (tmp_path / "pi4.toml").write_text(block)
    monkeypatch.setenv("ASHORE_TARGETS", str(tmp_path))
    assert registry.get_target("emulator:pi4").describe().cpu == "cortex-a72"


def test_the_recipe_in_formats_is_read_and_written_back_the_same(tmp_path: Path) -> None:
    recipes = [block for block in blocks_of_formats() if "kind" not in block]
    assert recipes
    for block in recipes:
        (tmp_path / "recipe.toml").write_text(block)
        recipe = ashore.load_recipe(tmp_path / "recipe.toml")
        (tmp_path / "again.toml").write_text(ashore.dump_recipe(recipe))
        assert ashore.load_recipe(tmp_path / "again.toml") == recipe


def test_the_floors_in_formats_are_the_ones_in_force() -> None:
    line = next(line for line in (ROOT / "docs/formats.md").read_text().splitlines() if line.startswith("Floors:"))
    for precision in Precision:
        if precision is not Precision.MIXED:
            assert re.search(rf"\b{precision}\b (dB )?{precision.default_floor_db:g}\b", line), precision


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_documents_exist(document: Path) -> None:
    text = document.read_text()
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make (\w+)", text)) <= targets
    assert set(re.findall(r"`ashore (\w+)", text)) <= set(cli.commands)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_in_documents_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / link).exists(), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_options_in_documents_exist(document: Path) -> None:
    known = {option for command in cli.commands.values() for parameter in command.params for option in parameter.opts}
    known |= set(re.findall(r'"(--[a-z]+)"', (ROOT / "runtimes/native/runner.cpp").read_text()))
    assert set(re.findall(r"(?<![\w-])(--[a-z][a-z0-9-]+)", document.read_text())) <= known | {"--help"}


def test_the_measure_in_accuracy_is_one(fakes: dict, tmp_path: Path) -> None:
    del fakes
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/accuracy.md").read_text(), re.DOTALL)
    images = [torch.eye(3)[None, index] for index in range(3)]
    net = torch.nn.Identity()
    names = {"net": net, "image": images[0], "images": images, "labelled": list(zip(images, (0, 1, 0), strict=True))}
    exec(
        "from ashore import ModelSource\n"
        + block.replace('"scores"', '"output"').replace('"image": image', '"input": image'),
        names,
    )
    (artifact,) = ashore.convert(names["model"], to=["fake"], output=tmp_path)
    assert artifact.manifest is not None and artifact.manifest.metrics is not None
    assert artifact.manifest.metrics["accuracy"].file == pytest.approx(2 / 3)
