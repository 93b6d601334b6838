"""Profiles for people: one HTML file, a Markdown or CSV table, or a trace for Perfetto."""

from __future__ import annotations

from ashore.report.writing import report as report

__all__ = ["report"]
