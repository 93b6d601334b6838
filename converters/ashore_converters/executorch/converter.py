"""PyTorch in, ExecuTorch's .pte out, run by XNNPACK. Torch and executorch are imported only when they are needed."""

from __future__ import annotations

from importlib import metadata, util
from pathlib import Path

from ashore.errors import TargetUnavailable
from ashore.interfaces import Progress, Trial
from ashore.types.conversion import Conversion, ConversionRequest, FileContents

_LIBRARIES = ("torch", "executorch", "torchao")


class ExecuTorchConverter:
    backend = "executorch"
    suffix = ".pte"

    def check(self, request: ConversionRequest) -> tuple[str, ...]:
        """Cautions; see :class:`ashore.interfaces.Converter`."""
        _require_libraries()
        from ashore_converters.executorch.quiet import quiet_libraries

        with quiet_libraries():
            from ashore_converters.executorch.check import cautions

            return cautions(request)

    def convert(self, request: ConversionRequest, destination: Path, progress: Progress) -> Conversion:
        """Write a .pte; see :class:`ashore.interfaces.Converter`."""
        self.check(request)
        from ashore_converters.executorch.quiet import quiet_libraries

        with quiet_libraries():
            from ashore_converters.executorch.convert import write_program

            written = write_program(request, destination, progress)
        return Conversion(
            inputs=written.inputs,
            outputs=written.outputs,
            delegate="xnnpack",
            delegation=self.inspect(destination).delegation,
            versions={name: metadata.version(name) for name in ("executorch", "torch", "torchao")},
            recipe=written.recipe,
            warnings=written.warnings,
            layers=written.layers,
        )

    def trial(self, request: ConversionRequest, progress: Progress) -> Trial:
        """See :class:`ashore.interfaces.OffersTrials`."""
        self.check(request)
        from ashore_converters.executorch.quiet import quiet_libraries

        with quiet_libraries():
            from ashore_converters.executorch.layer_trial import ExecuTorchTrial

            return ExecuTorchTrial(request, progress)

    def inspect(self, path: Path) -> FileContents:
        """Read a .pte; see :class:`ashore.interfaces.Converter`."""
        from ashore_converters.executorch.file import read_contents

        return read_contents(path)


def _require_libraries() -> None:
    missing = [name for name in _LIBRARIES if util.find_spec(name) is None]
    if missing:
        raise TargetUnavailable(
            f"converting to ExecuTorch needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
            "installed",
            'pip install "ashore[executorch]"',
        )
