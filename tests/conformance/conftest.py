"""What the conformance suites share with the tests of single targets: small model files, and a phone."""

from __future__ import annotations

import pytest

from integration.conftest import phone, phones, tiny_files

__all__ = ["phone", "phones", "tiny_files"]

_BACKENDS = ("executorch", "litert")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many architectures came through whole, on each backend."""
    for backend in _BACKENDS:
        passed, all_of_it = (_count(terminalreporter, backend, words) for words in (("passed",), ("passed", "failed")))
        if all_of_it:
            terminalreporter.write_line(f"{backend}: {passed} of {all_of_it} architectures in fp32 and in int8")


def _count(reporter: pytest.TerminalReporter, backend: str, outcomes: tuple[str, ...]) -> int:
    reports = [report for outcome in outcomes for report in reporter.stats.get(outcome, [])]
    return sum("test_converts_and_verifies" in report.nodeid and f"-{backend}]" in report.nodeid for report in reports)
