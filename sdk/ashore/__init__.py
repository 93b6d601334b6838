"""ashore: bring compressed PyTorch models ashore.

The public names load on first use, so that ``import ashore`` and ``ashore --help`` cost next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ashore.errors import (
        AccuracyError as AccuracyError,
    )
    from ashore.errors import (
        ArtifactError as ArtifactError,
    )
    from ashore.errors import (
        AshoreError as AshoreError,
    )
    from ashore.errors import (
        ChecksumMismatch as ChecksumMismatch,
    )
    from ashore.errors import (
        ConversionError as ConversionError,
    )
    from ashore.errors import (
        DeviceTimeout as DeviceTimeout,
    )
    from ashore.errors import (
        EngineCrashed as EngineCrashed,
    )
    from ashore.errors import (
        ExecutionError as ExecutionError,
    )
    from ashore.errors import (
        ExportFailed as ExportFailed,
    )
    from ashore.errors import (
        InputMismatch as InputMismatch,
    )
    from ashore.errors import (
        LoweringFailed as LoweringFailed,
    )
    from ashore.errors import (
        ManifestInvalid as ManifestInvalid,
    )
    from ashore.errors import (
        TargetError as TargetError,
    )
    from ashore.errors import (
        TargetUnavailable as TargetUnavailable,
    )
    from ashore.errors import (
        TransferFailed as TransferFailed,
    )
    from ashore.errors import (
        UnsupportedModel as UnsupportedModel,
    )
    from ashore.errors import (
        UsageError as UsageError,
    )
    from ashore.pipeline.convert import convert as convert
    from ashore.pipeline.execute import open_session as open_session
    from ashore.pipeline.inspection import Inspection as Inspection
    from ashore.pipeline.inspection import inspect as inspect
    from ashore.pipeline.recipes import dump_recipe as dump_recipe
    from ashore.pipeline.recipes import load_recipe as load_recipe
    from ashore.pipeline.verify import Verification as Verification
    from ashore.pipeline.verify import verify as verify
    from ashore.profiling.comparison import Comparison as Comparison
    from ashore.profiling.comparison import Thresholds as Thresholds
    from ashore.profiling.comparison import compare as compare
    from ashore.profiling.explain import Explanation as Explanation
    from ashore.profiling.explain import explain as explain
    from ashore.profiling.measure import profile as profile
    from ashore.profiling.profiles import load_profile as load_profile
    from ashore.profiling.profiles import save_profile as save_profile
    from ashore.types.artifact import Artifact as Artifact
    from ashore.types.manifest import Manifest as Manifest
    from ashore.types.precision import Precision as Precision
    from ashore.types.profile import Profile as Profile
    from ashore.types.recipe import LayerRule as LayerRule
    from ashore.types.recipe import RangeEstimator as RangeEstimator
    from ashore.types.recipe import Recipe as Recipe
    from ashore.types.recipe import Repair as Repair
    from ashore.types.recipe import Rounding as Rounding
    from ashore.types.source import ModelSource as ModelSource
    from ashore.types.source import Preprocess as Preprocess
    from ashore.types.tensor import DynamicDim as DynamicDim
    from ashore.types.tensor import TensorSpec as TensorSpec

_HOMES = {
    "ashore.errors": (
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
    ),
    "ashore.pipeline.convert": ("convert",),
    "ashore.pipeline.execute": ("open_session",),
    "ashore.pipeline.inspection": ("Inspection", "inspect"),
    "ashore.pipeline.verify": ("Verification", "verify"),
    "ashore.profiling.comparison": ("Comparison", "Thresholds", "compare"),
    "ashore.profiling.explain": ("Explanation", "explain"),
    "ashore.profiling.measure": ("profile",),
    "ashore.profiling.profiles": ("load_profile", "save_profile"),
    "ashore.types.artifact": ("Artifact",),
    "ashore.types.manifest": ("Manifest",),
    "ashore.types.precision": ("Precision",),
    "ashore.types.profile": ("Profile",),
    "ashore.types.recipe": ("LayerRule", "RangeEstimator", "Recipe", "Repair", "Rounding"),
    "ashore.pipeline.recipes": ("dump_recipe", "load_recipe"),
    "ashore.types.source": ("ModelSource", "Preprocess"),
    "ashore.types.tensor": ("DynamicDim", "TensorSpec"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
