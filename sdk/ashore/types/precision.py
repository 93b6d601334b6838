"""The words for numeric precision, the same in commands, manifests, file names and documents."""

from __future__ import annotations

from enum import StrEnum


class Precision(StrEnum):
    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"
    INT8_DYNAMIC = "int8-dynamic"
    INT4 = "int4"
    MIXED = "mixed"

    @property
    def default_floor_db(self) -> float:
        """Lowest SQNR against eager PyTorch, in dB, at which a file is published."""
        return _FLOORS_DB[self]

    @property
    def needs_calibration(self) -> bool:
        """Whether activation ranges must be observed before conversion."""
        return self in (Precision.INT8, Precision.MIXED)

    @property
    def rounds_weights(self) -> bool:
        """Whether weights become integers."""
        return self not in (Precision.FP32, Precision.FP16)


_FLOORS_DB = {
    Precision.FP32: 60.0,
    Precision.FP16: 40.0,
    Precision.INT8: 15.0,
    Precision.INT8_DYNAMIC: 20.0,
    Precision.INT4: 10.0,
    Precision.MIXED: 20.0,
}
