"""All cases: which files lie in a folder, which of them is opened, and what may come of it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from hostile.aliasing import alias_bombs
from hostile.damage import damages
from hostile.original import Original
from hostile.surroundings import (
    Maker,
    altered_manifests,
    bad_goldens,
    forged_manifests,
    special_things,
)

SEED = 20_26


class State(Enum):
    """``VOUCHED``: a manifest as ashore wrote it belongs to what was damaged, so that nothing may come of it but an
    ArtifactError. ``SEALED``: somebody made a manifest that fits. ``BARE``: there is none, and the engine judges."""

    BARE = "bare"
    VOUCHED = "vouched"
    SEALED = "sealed"


@dataclass(frozen=True)
class Case:
    """``model`` is the name of the file that is opened; ``parts`` are the files that lie there."""

    name: str
    kind: str
    state: State
    model: str
    parts: Mapping[str, bytes | Maker] = field(repr=False)

    def lay_out(self, folder: Path) -> Path:
        for name, part in self.parts.items():
            if isinstance(part, bytes):
                (folder / name).write_bytes(part)
            else:
                part(folder / name)
        return folder / self.model


def all_cases(originals: Sequence[Original], share: float = 1.0, seed: int = SEED) -> list[Case]:
    """The same for the same originals, share and seed."""
    cases = []
    for original in originals:
        chance = random.Random(f"{seed} {original.stem}")
        cases += [
            *_damaged(original, chance, share),
            *_aliased(original, share),
            *_swapped(original, originals),
            *_special(original),
            *_surrounded(original, chance, share),
        ]
    return cases


def _damaged(original: Original, chance: random.Random, share: float) -> Iterator[Case]:
    for index, (kind, where, content) in enumerate(damages(original, chance, share)):
        yield from _around(original, kind, where, content, sealed=index % 3 == 0, vouched=index % 2 == 0)


def _aliased(original: Original, share: float) -> Iterator[Case]:
    for name, content in alias_bombs(original.backend, many=20_000 if share == 1.0 else 2000):
        yield from _around(original, "bombs of references", name, content, sealed=False, vouched=False)


def _around(
    original: Original, kind: str, where: str, content: bytes, *, sealed: bool, vouched: bool
) -> Iterator[Case]:
    """One damaged model file: alone, beside its old manifest, and beside one that somebody made to fit."""
    name, model = f"{original.stem}/{kind}/{where}", original.model_name
    yield Case(name, kind, State.BARE, model, {model: content})
    beside: dict[str, bytes | Maker] = {model: content, original.golden_name: original.golden}
    if vouched and content != original.model:
        yield Case(name, kind, State.VOUCHED, model, beside | {original.manifest_name: original.manifest})
    if sealed:
        yield Case(name, kind, State.SEALED, model, beside | {original.manifest_name: original.vouching(model=content)})


def _whole(original: Original) -> dict[str, bytes | Maker]:
    return {
        original.model_name: original.model,
        original.golden_name: original.golden,
        original.manifest_name: original.manifest,
    }


def _swapped(original: Original, originals: Sequence[Original]) -> Iterator[Case]:
    model, whole = original.model_name, _whole(original)
    kind = "swapped files"
    for other in originals:
        if other is original:
            continue
        name = f"{original.stem}/swapped/{other.stem}"
        for part, content in _whole(other).items():
            place = original.stem + part.removeprefix(other.stem)
            place = model if part == other.model_name else place
            if content != whole[place]:
                yield Case(f"{name} as {place}", kind, State.VOUCHED, model, whole | {place: content})
        fitting = {model: other.model, original.manifest_name: original.vouching(model=other.model)}
        yield Case(f"{name} sealed", kind, State.SEALED, model, whole | fitting)
        disguised = f"{other.stem}{original.suffix}"
        yield Case(f"{name} disguised", kind, State.BARE, disguised, {disguised: other.model})


def _special(original: Original) -> Iterator[Case]:
    whole = _whole(original)
    for name, maker in special_things(original.model[:64]).items():
        title = f"{original.stem}/special/{name}"
        yield Case(f"{title} alone", "special files", State.BARE, original.model_name, {original.model_name: maker})
        for part in whole:
            yield Case(f"{title} as {part}", "special files", State.VOUCHED, original.model_name, whole | {part: maker})


def _surrounded(original: Original, chance: random.Random, share: float) -> Iterator[Case]:
    model, manifest, golden = original.model_name, original.manifest_name, original.golden_name
    whole = _whole(original)
    step = max(1, round(1 / share))
    for name, content in list(bad_goldens(original, chance))[::step]:
        title = f"{original.stem}/golden/{name}"
        if content != original.golden:
            yield Case(title, "golden samples", State.VOUCHED, model, whole | {golden: content})
        fitting = {golden: content, manifest: original.vouching(golden=content)}
        yield Case(f"{title} sealed", "golden samples", State.SEALED, model, whole | fitting)
    for name, content in list(altered_manifests(original, chance))[::step]:
        yield Case(f"{original.stem}/manifest/{name}", "manifests", State.VOUCHED, model, whole | {manifest: content})
    for name, content in list(forged_manifests(original, chance))[::step]:
        yield Case(
            f"{original.stem}/forged/{name}", "forged manifests", State.SEALED, model, whole | {manifest: content}
        )
