"""The report as one HTML file: no script, nothing to fetch, drawings as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from ashore.report import figures
from ashore.report.alike import grouped
from ashore.report.columns import TABLE
from ashore.report.endurance import endurances
from ashore.report.entries import Entry, Source
from ashore.report.glance import glance
from ashore.report.instructions import instructions
from ashore.report.latency import latencies
from ashore.report.markup import Markup, element, join
from ashore.report.memory import memories
from ashore.report.operators import operators
from ashore.report.reasons import reasons
from ashore.report.surroundings import environments, gaps, methods, warnings
from ashore.report.tables import table
from ashore.report.threads import scalings
from ashore.report.tradeoff import tradeoffs

Section = tuple[str, str, str | None, Markup]
"""Anchor, title, what it shows, content."""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(sources: Sequence[Source], entries: Sequence[Entry]) -> str:
    """The whole document."""
    title = _title(entries)
    sections = _sections(sources, entries)
    shown = [_section(*section) for section in sections]
    body = join(_header(title, sources, entries), _contents(sections), element("main", *shown))
    return f"<!DOCTYPE html>\n{element('html', _head(title), element('body', body), lang='en')}\n"


def _head(title: str) -> Markup:
    style = Markup(files("ashore.report").joinpath("page.css").read_text(encoding="utf-8"))
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{title} — ashore"),
        element("style", style),
    )


def _header(title: str, sources: Sequence[Source], entries: Sequence[Entry]) -> Markup:
    files_ = len({entry.subject for entry in entries})
    targets = list(dict.fromkeys(entry.conditions.target for entry in entries))
    dates = sorted({source.profile.created[:10] for source in sources})
    said = f"{figures.plural(files_, 'artifact')} on {', '.join(targets)}"
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}" if dates else ""
    number = len(grouped({warning for entry in entries for warning in entry.result.warnings}))
    alarm = element("a", figures.plural(number, "warning"), href="#warnings", class_="alarm") if number else None
    words = element("p", said, element("span", f"measured {when}", class_="when"), alarm, class_="said")
    return element("header", element("p", "ashore report", class_="brand"), element("h1", title), words)


def _title(entries: Sequence[Entry]) -> str:
    names = list(dict.fromkeys(entry.result.artifact.name for entry in entries))
    if not names:
        return "Nothing measured"
    return names[0] if len(names) == 1 else f"{names[0]} and {figures.plural(len(names) - 1, 'other model')}"


def _contents(sections: Sequence[Section]) -> Markup:
    links = [element("a", title, href=f"#{name}") for name, title, _, _ in sections]
    return element("nav", *links, aria_label="sections")


def _sections(sources: Sequence[Source], entries: Sequence[Entry]) -> list[Section]:
    """Those that have something to show."""
    if not entries:
        return [("empty", "No results", None, element("p", "The profiles hold no result."))]
    found = [
        ("glance", "At a glance", None, glance(entries)),
        ("table", "Side by side", _SIDE_BY_SIDE, table(entries, TABLE, "table")),
        ("warnings", "Warnings", None, warnings(entries)),
        ("tradeoff", "Size, speed, accuracy", _TRADE_OFF, tradeoffs(entries)),
        ("latency", "Latency", None, latencies(entries)),
        ("threads", "Threads", None, scalings(entries)),
        ("sustained", "Sustained", None, endurances(entries)),
        ("memory", "Memory", None, memories(entries)),
        ("instructions", "Instructions", None, instructions(entries)),
        ("operators", "Operators", None, operators(entries)),
        ("reasons", "Why is it not faster?", None, reasons(entries)),
        ("environment", "Environment", None, environments(entries)),
        ("gaps", "What was not measured", None, gaps(entries)),
        ("method", "How to read this", None, methods(sources)),
    ]
    return [(name, title, about, content) for name, title, about, content in found if content]


def _section(name: str, title: str, about: str | None, content: Markup) -> Markup:
    said = element("p", about, class_="about") if about else None
    return element(
        "section", element("h2", title, id=f"{name}-title"), said, content, id=name, aria_labelledby=f"{name}-title"
    )


_SIDE_BY_SIDE = "Bold is best under the same conditions; medians whose intervals overlap count as equal."
_TRADE_OFF = (
    "Each disc is an artifact, as large as its file. Up and to the left is better, and smaller. "
    "Filled discs are on the Pareto front: no other artifact is at least as good in all three and better in one."
)
