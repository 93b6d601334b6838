"""The manifest that travels beside every model file (schema ``ashore.manifest/1``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ashore.types.conversion import Delegation, PlacedLayer
from ashore.types.metrics import Metric
from ashore.types.parity import Parity
from ashore.types.precision import Precision
from ashore.types.recipe import Recipe
from ashore.types.sensitivity import MixedStep
from ashore.types.source import Preprocess
from ashore.types.tensor import TensorSpec

SCHEMA = "ashore.manifest/1"


@dataclass(frozen=True)
class FileRecord:
    """``compressed_bytes``: the size after DEFLATE (level 6), as app stores ship it."""

    name: str
    sha256: str
    bytes: int
    compressed_bytes: int | None = None


@dataclass(frozen=True)
class GoldenRecord:
    name: str
    sha256: str
    samples: int


@dataclass(frozen=True)
class SourceRecord:
    """Where the model came from. ``macs``: multiply-accumulates of one run on the example, where countable."""

    kind: str
    parameters: int
    sha256: str | None = None
    macs: int | None = None


@dataclass(frozen=True)
class CalibrationRecord:
    samples: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Everything a program needs to use the model file without asking its author."""

    name: str
    backend: str
    delegate: str
    precision: Precision
    recipe: Recipe
    file: FileRecord
    golden: GoldenRecord
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    source: SourceRecord
    versions: Mapping[str, str]
    delegation: Delegation
    parity: Parity
    created: str
    preprocess: Preprocess | None = None
    labels: tuple[str, ...] | None = None
    calibration: CalibrationRecord | None = None
    warnings: tuple[str, ...] = ()
    metrics: Mapping[str, Metric] | None = None
    mixed: tuple[MixedStep, ...] | None = None
    layers: tuple[PlacedLayer, ...] | None = None
    schema: str = SCHEMA
