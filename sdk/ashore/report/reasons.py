"""Why is it not faster? What the profile explains of itself, with its evidence."""

from __future__ import annotations

from collections.abc import Sequence

from ashore.profiling.causes import Cause
from ashore.profiling.explain import Explanation, explain
from ashore.report import drawing, figures
from ashore.report.drawing import whereabouts
from ashore.report.entries import Entry
from ashore.report.markup import Markup, element, join
from ashore.types.profile import Profile


def reasons(entries: Sequence[Entry]) -> Markup | None:
    """A panel for each result that something holds back, a line for each of the others."""
    explained = _explained(entries)
    timed = {entry.subject for entry, each in explained if _timed(each)}
    # Counts are the file's, whatever it ran on: they are told beside times, or once where nobody timed the file.
    once = {entry.subject: entry for entry, each in reversed(explained) if each.causes and entry.subject not in timed}
    shown = [(entry, each) for entry, each in explained if _timed(each) or once.get(entry.subject) is entry]
    held = [_panel(entry, each) for entry, each in shown]
    free = _others([each for each in explained if each not in shown])
    panels = element("div", *held, class_="causes") if held else None
    return join(panels, element("ul", *free, class_="gaps")) if free else panels


def _timed(explanation: Explanation) -> bool:
    return any(cause.cost_ns is not None for cause in explanation.causes)


def _explained(entries: Sequence[Entry]) -> list[tuple[Entry, Explanation]]:
    """Results of the same profile are evidence for each other."""
    found: list[tuple[Entry, Explanation]] = []
    for source in dict.fromkeys(entry.source for entry in entries):
        own = [entry for entry in entries if entry.source == source]
        found += zip(own, explain(Profile(tuple(entry.result for entry in own), created="")), strict=True)
    return found


def _panel(entry: Entry, explanation: Explanation) -> Markup:
    best = explanation.best
    advice = element("p", element("b", "Would help most: "), best.change, class_="advice") if best else None
    return element(
        "article",
        element("h3", drawing.naming(entry), element("span", entry.conditions.title, class_="where")),
        element("p", explanation.verdict, class_="verdict"),
        advice,
        element("ul", *(_cause(entry, cause, cause is best) for cause in explanation.causes)),
        class_="panel",
    )


def _cause(entry: Entry, cause: Cause, best: bool) -> Markup:
    cost = element("span", _cost(entry, cause.cost_ns), class_="cost") if cause.cost_ns else None
    told = join(element("b", cause.kind.capitalize()), cost)
    change = None if best else element("p", cause.change, class_="change")
    return element("li", element("p", told), element("p", cause.statement), element("small", cause.evidence), change)


def _cost(entry: Entry, cost_ns: float) -> str:
    text = f"at most {figures.milliseconds(cost_ns)} ms"
    if entry.latency is None or not entry.latency.median_ns:
        return text
    return f"{text}, {figures.percent(min(cost_ns / entry.latency.median_ns, 1.0))} % of a run"


def _others(explained: Sequence[tuple[Entry, Explanation]]) -> list[Markup]:
    """A line for each verdict, with all results that it is true for."""
    alike: dict[str, list[Entry]] = {}
    for entry, each in explained:
        alike.setdefault(each.verdict, []).append(entry)
    return [element("li", element("p", verdict), *whereabouts(which)) for verdict, which in alike.items()]
