"""Numbers as people read them, one way throughout a report."""

from __future__ import annotations

from collections.abc import Callable

_LARGE = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def milliseconds(ns: float) -> str:
    """Without the unit: two decimals, more below a millisecond, fewer above a hundred."""
    value = ns / 1e6
    decimals = (
        2 if not value else 4 if value < 0.1 else 3 if value < 1 else 2 if value < 100 else 1 if value < 1000 else 0
    )
    return f"{value:,.{decimals}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def megabytes(count: float) -> str:
    """Without the unit; 1 MB is 1,000,000 bytes, as everywhere in ashore."""
    value = count / 1e6
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def axis_milliseconds(ns: float) -> str:
    return f"{ns / 1e6:g}"


def axis_megabytes(amount: float) -> str:
    return f"{amount / 1e6:g}"


def axis_count(value: float) -> str:
    """Round numbers need no decimals: 200M."""
    size, letter = next(((size, letter) for size, letter in _LARGE if abs(value) >= size), (1.0, ""))
    return f"{value / size:g}{letter}"


def percent(share: float) -> str:
    """Without the sign; never 100 for a share below 1, nor 0 for one above 0."""
    value = round(100 * share, 1)
    if value == 100 and share < 1:
        value = 99.9
    if value == 0 and share > 0:
        return "<0.1"
    return f"{value:.1f}"


def decibels(value: float) -> str:
    return f"{value:.1f}"


def count(value: float) -> str:
    """Four digits and a letter: 312.4M."""
    for size, letter in _LARGE:
        if abs(value) >= size:
            scaled = value / size
            return f"{scaled:.{2 if scaled < 10 else 1}f}{letter}"
    return f"{value:g}"


def change(ratio: float) -> str:
    """1.27 is "+27 %"."""
    value = 100 * (ratio - 1)
    text = f"{value:+.0f}" if abs(value) >= 10 else f"{value:+.1f}"
    return f"{text.replace('-', chr(0x2212))}\N{NO-BREAK SPACE}%"


def interval(low: float, high: float, show: Callable[[float], str]) -> str:
    """13.28-13.35, with the dash that stands between numbers."""
    return f"{show(low)}\N{EN DASH}{show(high)}"


def times(ratio: float) -> str:
    return f"{ratio:.2f}\N{MULTIPLICATION SIGN}"


def plural(number: int, word: str) -> str:
    if number == 1:
        return f"1 {word}"
    return f"{number} {word}{'es' if word.endswith('s') else 's'}"
