"""Every error ashore raises on purpose.

::

    AshoreError
    ├── UsageError            exit 2   the call itself is wrong: a name, a path, a shape
    ├── ConversionError       exit 3
    │   ├── ExportFailed               torch.export could not capture the model
    │   ├── LoweringFailed             the backend's compiler refused the captured graph
    │   └── UnsupportedModel           a named thing this backend cannot do, with the way out
    ├── AccuracyError         exit 4   the finished file differs too much from PyTorch
    ├── ArtifactError         exit 5
    │   ├── ManifestInvalid
    │   └── ChecksumMismatch
    ├── ExecutionError        exit 6
    │   ├── InputMismatch
    │   └── EngineCrashed
    └── TargetError           exit 7
        ├── TargetUnavailable
        ├── TransferFailed
        └── DeviceTimeout

Each message says what failed and with which value; ``hint`` says what to do next.
"""

from __future__ import annotations

__all__ = [
    "AccuracyError",
    "ArtifactError",
    "AshoreError",
    "ChecksumMismatch",
    "ConversionError",
    "DeviceTimeout",
    "EngineCrashed",
    "ExecutionError",
    "ExportFailed",
    "InputMismatch",
    "LoweringFailed",
    "ManifestInvalid",
    "TargetError",
    "TargetUnavailable",
    "TransferFailed",
    "UnsupportedModel",
    "UsageError",
]


class AshoreError(Exception):
    """Base of every error ashore raises on purpose.

    Args:
        message: what failed, with the value that made it fail.
        hint: what the user can do next; may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class UsageError(AshoreError):
    exit_code = 2


class ConversionError(AshoreError):
    exit_code = 3


class ExportFailed(ConversionError):
    pass


class LoweringFailed(ConversionError):
    pass


class UnsupportedModel(ConversionError):
    pass


class AccuracyError(AshoreError):
    exit_code = 4


class ArtifactError(AshoreError):
    exit_code = 5


class ManifestInvalid(ArtifactError):
    pass


class ChecksumMismatch(ArtifactError):
    pass


class ExecutionError(AshoreError):
    exit_code = 6


class InputMismatch(ExecutionError):
    pass


class EngineCrashed(ExecutionError):
    pass


class TargetError(AshoreError):
    exit_code = 7


class TargetUnavailable(TargetError):
    pass


class TransferFailed(TargetError):
    pass


class DeviceTimeout(TargetError):
    pass
