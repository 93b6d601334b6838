"""What a model loses to int8, and where."""

from __future__ import annotations

from dataclasses import dataclass

from ashore.types.sensitivity import LayerReading

DEPARTURE_DB = 20.0
"""A layer whose output is closer than this to PyTorch's is taken as intact: a tenth of its amplitude is noise."""


@dataclass(frozen=True)
class LayerDiagnosis:
    """One layer, on calibration samples.

    Attributes:
        path, operator: where it is in the user's model, and what the backend computes there.
        alone_db: SQNR in dB of the model's worst output with this layer as the only one in int8.
        output: what its output shows, with all layers in int8; None where the file does not hold it.
        multiplications, weights: its shares of the model's.
        kept_float: whether plain int8 keeps it in float by its own measurement.
    """

    path: str
    operator: str
    alone_db: float
    output: LayerReading | None
    multiplications: float
    weights: float
    kept_float: bool


@dataclass(frozen=True)
class Diagnosis:
    """A model on one backend.

    Attributes:
        int8_db: SQNR in dB of the worst output with every layer in int8.
        chosen_db: the same with the layers in float that plain int8 keeps so.
        samples: calibration samples that were measured.
        layers: in the order in which they compute.
    """

    name: str
    backend: str
    samples: int
    int8_db: float
    chosen_db: float
    layers: tuple[LayerDiagnosis, ...]

    @property
    def first_departure(self) -> str | None:
        """The first layer whose output is below ``DEPARTURE_DB`` when all is int8."""
        far = (layer.path for layer in self.layers if layer.output and layer.output.sqnr_db < DEPARTURE_DB)
        return next(far, None)
