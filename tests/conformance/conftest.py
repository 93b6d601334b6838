"""What the conformance suites share with the tests of single targets: small model files, and a phone."""

from __future__ import annotations

from integration.conftest import phone, phones, tiny_files

__all__ = ["phone", "phones", "tiny_files"]
