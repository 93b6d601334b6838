"""The answers most readers came for."""

from __future__ import annotations

from collections.abc import Sequence

from ashore.report import figures
from ashore.report.columns import INSTRUCTIONS, P50, PEAK, SIZE, SQNR, Better, Column, best_of
from ashore.report.drawing import naming
from ashore.report.entries import Entry, by_conditions
from ashore.report.markup import Markup, element

_MOST, _WINNERS = 8, 3


def glance(entries: Sequence[Entry]) -> Markup | None:
    """The best in speed under each set of conditions, and in what does not depend on them."""
    cards = []
    for conditions, group in by_conditions(entries).items():
        cards.append(_card(P50, "Fastest", conditions.title, group))
        cards.append(_card(INSTRUCTIONS, "Fewest instructions", conditions.title, group))
    files = list({entry.subject: entry for entry in entries}.values())
    cards += [_card(SIZE, "Smallest", "the file", files), _card(SQNR, "Closest to PyTorch", "SQNR", files)]
    for conditions, group in list(by_conditions(entries).items())[:1]:
        cards.append(_card(PEAK, "Least memory", conditions.title, group))
    shown = [card for card in cards if card][:_MOST]
    return element("div", *shown, class_="cards") if shown else None


def _card(column: Column, title: str, where: str, entries: Sequence[Entry]) -> Markup | None:
    best = best_of(column, entries)
    if not best:
        return _tie(title, where, [entry for entry in entries if entry.latency]) if column is P50 else None
    values = [column.read(entry) for entry in best]
    value = next(value for value in values if value is not None)
    rest = len(best) - _WINNERS
    more = element("p", f"and {figures.plural(rest, 'other')}", class_="muted") if rest > 0 else None
    unit = None if column is INSTRUCTIONS else column.unit
    return element(
        "div",
        element("h3", title, element("span", where, class_="where")),
        element("p", column.show(value), element("small", unit) if unit else None, class_="big"),
        element("div", *(element("p", naming(entry)) for entry in best[:_WINNERS]), more, class_="winner"),
        element("p", _against(column, best, entries), class_="muted"),
        class_="card",
    )


def _tie(title: str, where: str, timed: Sequence[Entry]) -> Markup | None:
    """Nobody is faster, as far as the runs show."""
    if len(timed) < 2:
        return None
    intervals = [entry.latency.interval for entry in timed if entry.latency]
    low, high = min(each.low for each in intervals), max(each.high for each in intervals)
    return element(
        "div",
        element("h3", title, element("span", where, class_="where")),
        element("p", "no winner", class_="big words"),
        element("p", f"all within {figures.interval(low, high, P50.show)} ms"),
        element("p", "their intervals overlap that of the lowest median", class_="muted"),
        class_="card",
    )


def _against(column: Column, best: Sequence[Entry], entries: Sequence[Entry]) -> str:
    """How far behind the next one is."""
    if column is P50 and len(best) > 1:
        return "no clear winner: their intervals overlap"
    others = [value for entry in entries if entry not in best and (value := column.read(entry)) is not None]
    value = column.read(best[0])
    if not others or not value:
        return ""
    next_best = min(others) if column.better is Better.LOWER else max(others)
    if column is SQNR:
        return f"{value - next_best:.1f} dB above the next"
    return f"the next needs {figures.change(next_best / value)}"
