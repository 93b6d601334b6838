"""Tables of figures: one line an artifact, one block a set of conditions, a note for each reason of a gap."""

from __future__ import annotations

from collections.abc import Sequence

from ashore.report import figures
from ashore.report.columns import P50, Column, best_of
from ashore.report.drawing import naming
from ashore.report.entries import Conditions, Entry, by_conditions
from ashore.report.markup import Markup, element, join
from ashore.types.profile import Settings


class Notes:
    """Reasons for gaps, numbered in the order in which they come up; ``place`` keeps their anchors apart."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._reasons: list[str] = []

    def gap(self, reason: str) -> Markup:
        """What stands in the cell of a figure that was not measured."""
        if reason not in self._reasons:
            self._reasons.append(reason)
        number = self._reasons.index(reason) + 1
        mark = element("sup", element("a", str(number), href=f"#{self._place}-{number}"))
        return element("span", "not measured", mark, class_="gap", title=f"not measured: {reason}")

    def listed(self) -> Markup | None:
        if not self._reasons:
            return None
        items = [
            element("li", f"not measured: {reason}", id=f"{self._place}-{number}")
            for number, reason in enumerate(self._reasons, start=1)
        ]
        return element("ol", *items, class_="notes")


def table(entries: Sequence[Entry], columns: Sequence[Column], place: str = "times") -> Markup:
    """All entries; it scrolls sideways in its own box where the screen is narrow."""
    notes = Notes(place)
    blocks = [_block(conditions, group, columns, notes) for conditions, group in by_conditions(entries).items()]
    whole = element("table", _head(columns), *blocks, class_="figures")
    box = element("div", whole, class_="scroll", tabindex=0, role="region", aria_label="table, scrolls sideways")
    return join(box, notes.listed())


def _head(columns: Sequence[Column]) -> Markup:
    cells = [
        element("th", column.heading, element("small", column.unit or Markup("&#160;")), scope="col")
        for column in columns
    ]
    return element("thead", element("tr", element("th", "artifact", scope="col"), *cells))


def _block(conditions: Conditions, entries: Sequence[Entry], columns: Sequence[Column], notes: Notes) -> Markup:
    words = join(element("b", conditions.title), element("span", _where(conditions, entries), class_="where"))
    title = element("th", element("div", words), colspan=len(columns) + 1, scope="rowgroup", class_="block")
    best = {column.key: best_of(column, entries) for column in columns}
    again = [entry for entry in entries if sum(other.subject == entry.subject for other in entries) > 1]
    lines = [
        element(
            "tr",
            element("th", naming(entry, entry.source if entry in again else None), scope="row"),
            *(_cell(column, entry, entry in best[column.key], notes) for column in columns),
            data_sha256=entry.subject.sha256,
            data_threads=conditions.threads,
            data_target=conditions.target,
        )
        for entry in entries
    ]
    return element("tbody", element("tr", title), *lines)


def _where(conditions: Conditions, entries: Sequence[Entry]) -> str:
    hows = dict.fromkeys(_how(entry.result.settings) for entry in entries if entry.latency)
    return "; ".join([f"{conditions.cpu}, {conditions.abi}, {conditions.os}", *hows])


def _how(settings: Settings) -> str:
    return (
        f"{settings.mode} mode, {figures.plural(settings.repeats, 'process')} of at least "
        f"{figures.plural(settings.runs, 'run')} after {settings.warmup} to warm up"
    )


def _cell(column: Column, entry: Entry, best: bool, notes: Notes) -> Markup:
    value = column.read(entry)
    if value is None:
        return element("td", notes.gap(column.reason(entry)), data_metric=column.key)
    shown = element("data", column.show(value), value=_exact(value), class_="best" if best else None)
    interval = None
    if column is P50 and entry.latency:
        low, high = entry.latency.interval.low, entry.latency.interval.high
        interval = element("small", figures.interval(low, high, column.show))
    return element("td", shown, interval, data_metric=column.key)


def _exact(value: float) -> str:
    """As in the profile, for programs that read the page."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
