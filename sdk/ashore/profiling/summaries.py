"""A comparison for people and for CI: rows of a table, Markdown, JUnit."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from xml.etree import ElementTree

from ashore.profiling.comparison import ComparedPair, Comparison, Difference, Metric

_EXCEEDED, _UNDECIDED = attrgetter("exceeded"), attrgetter("undecided")
COLUMNS = ("what", "metric", "base", "new", "change", "95 % interval", "limit", "verdict")


def rows_of(comparison: Comparison) -> list[tuple[str, ...]]:
    """Cells under ``COLUMNS``, one row a metric."""
    return [(pair.title, *_cells(each)) for pair in comparison.pairs for each in pair.differences]


def notes_of(comparison: Comparison) -> list[str]:
    """Sentences: what differs besides, what could not be compared, what only one profile has."""
    notes = [f"{pair.title}: {note}" for pair in comparison.pairs for note in (*pair.notes, *pair.absent)]
    notes += [f"{name}: only in the base" for name in comparison.missing]
    return notes + [f"{name}: only in the new profile" for name in comparison.added]


def verdict_of(comparison: Comparison) -> str:
    """One sentence."""
    told = {"beyond the threshold": _EXCEEDED, "undecided, as the machine's own pace differed": _UNDECIDED}
    found = {words: _changes(comparison, concerns) for words, concerns in told.items()}
    return ". ".join(f"{words}: {'; '.join(each)}" for words, each in found.items() if each) or "within the thresholds"


def _changes(comparison: Comparison, concerns: Callable[[Difference], bool]) -> list[str]:
    return [
        f"{pair.title}: {difference.metric} {change_text(difference)}"
        for pair in comparison.pairs
        for difference in pair.differences
        if concerns(difference)
    ]


def markdown_of(comparison: Comparison) -> str:
    """A document with the verdict, the table and the notes."""
    lines = [f"**ashore compare: {verdict_of(comparison)}**", "", _line(COLUMNS), _line(("---",) * len(COLUMNS))]
    lines += [_line(row) for row in rows_of(comparison)]
    lines += ["", *(f"- {note}" for note in notes_of(comparison))]
    return "\n".join(lines).rstrip() + "\n"


def junit_of(comparison: Comparison) -> bytes:
    """One test case a metric that has a limit; results that are missing from the new profile are skipped tests."""
    suite = ElementTree.Element("testsuite", name="ashore compare")
    for pair in comparison.pairs:
        for difference in pair.differences:
            if difference.limit is not None:
                _add_case(suite, pair, difference)
    for name in comparison.missing:
        case = ElementTree.SubElement(suite, "testcase", classname=name, name="measured")
        ElementTree.SubElement(case, "skipped", message="only in the base")
    for kind, tag in (("tests", "testcase"), ("failures", "testcase/failure"), ("skipped", "testcase/skipped")):
        suite.set(kind, str(len(suite.findall(tag))))
    ElementTree.indent(suite)
    document: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    return document


def change_text(difference: Difference) -> str:
    """``1.24x`` or ``-3.1 dB``."""
    return f"{difference.change:+.1f} dB" if difference.metric is Metric.SQNR else f"{difference.change:.2f}x"


def _add_case(suite: ElementTree.Element, pair: ComparedPair, difference: Difference) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=pair.title, name=difference.metric.value)
    _, base, new, change, interval, limit, verdict = _cells(difference)
    text = f"{difference.metric} {base} → {new}, {change} (limit {limit}, interval {interval or 'none'})"
    if difference.exceeded:
        ElementTree.SubElement(case, "failure", message=text).text = "\n".join(pair.notes) or verdict
    elif difference.undecided:
        ElementTree.SubElement(case, "skipped", message=f"{verdict}: {text}")
    else:
        ElementTree.SubElement(case, "system-out").text = text


def _cells(difference: Difference) -> tuple[str, ...]:
    interval = difference.interval
    return (
        difference.metric.value,
        _amount(difference.metric, difference.base),
        _amount(difference.metric, difference.new),
        change_text(difference),
        f"{interval.low:.2f} to {interval.high:.2f}" if interval else "",
        _limit(difference),
        _verdict(difference),
    )


def _verdict(difference: Difference) -> str:
    if difference.exceeded:
        return "EXCEEDED"
    if difference.undecided:
        return "undecided: the machine's own pace differed"
    if difference.limit is None:
        return "no limit"
    beyond = difference.metric is Metric.LATENCY and difference.change > difference.limit
    return "ok: beyond the limit, but within the noise" if beyond else "ok"


def _limit(difference: Difference) -> str:
    if difference.limit is None:
        return ""
    return f"{difference.limit:+g} dB" if difference.metric is Metric.SQNR else f"{difference.limit:.2f}x"


def _amount(metric: Metric, value: float) -> str:
    if metric is Metric.LATENCY:
        return f"{value / 1e6:.3f} ms"
    if metric is Metric.INSTRUCTIONS:
        return f"{value / 1e6:.2f} M"
    if metric is Metric.SQNR:
        return f"{value:.1f} dB"
    return f"{value / 1e6:.2f} MB"


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
