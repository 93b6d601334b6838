"""One tree of errors, one exit code for each branch of it."""

from __future__ import annotations

import re

import pytest

from ashore import errors
from ashore.errors import AshoreError

EXIT_CODES = {
    "AccuracyError": 4,
    "ArtifactError": 5,
    "AshoreError": 1,
    "ChecksumMismatch": 5,
    "ConversionError": 3,
    "DeviceTimeout": 7,
    "EngineCrashed": 6,
    "ExecutionError": 6,
    "ExportFailed": 3,
    "InputMismatch": 6,
    "LoweringFailed": 3,
    "ManifestInvalid": 5,
    "TargetError": 7,
    "TargetUnavailable": 7,
    "TransferFailed": 7,
    "UnsupportedModel": 3,
    "UsageError": 2,
}


def all_errors(kind: type[AshoreError] = AshoreError) -> set[type[AshoreError]]:
    return {kind}.union(*(all_errors(child) for child in kind.__subclasses__()))


def test_every_error_has_the_exit_code_of_its_branch() -> None:
    assert {kind.__name__: kind.exit_code for kind in all_errors()} == EXIT_CODES


def test_every_error_is_public_and_drawn_in_the_tree_of_the_module() -> None:
    names = {kind.__name__ for kind in all_errors()}
    assert set(errors.__all__) == names
    assert set(re.findall(r"\b[A-Z]\w+", (errors.__doc__ or "").split("::")[1].split("Each message")[0])) >= names


@pytest.mark.parametrize(("hint", "text"), [("do this", "it broke\n  hint: do this"), ("", "it broke")])
def test_an_error_reads_as_message_and_hint(hint: str, text: str) -> None:
    error = AshoreError("it broke", hint)
    assert (error.message, error.hint, str(error)) == ("it broke", hint, text)
