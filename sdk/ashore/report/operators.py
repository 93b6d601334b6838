"""Where the time of a run goes: inside the delegate and outside of it, operator by operator."""

from __future__ import annotations

from collections.abc import Sequence

from ashore.report import drawing, figures
from ashore.report.drawing import chart, plot, row
from ashore.report.entries import Entry, by_conditions
from ashore.report.markup import Markup, element, join
from ashore.types.profile import OpCost

_HEIGHT, _BAR = 42, 18
_SHOWN = 10


def operators(entries: Sequence[Entry]) -> Markup | None:
    timed = [entry for entry in entries if entry.result.ops]
    if not timed:
        return None
    legend = drawing.legend(("inside", "in the delegate"), ("outside", "outside of it"))
    panels = [_panel(conditions.title, group) for conditions, group in by_conditions(timed).items()]
    return join(
        legend, *panels, element("h3", "Operator by operator"), *(_details(entry, entry is timed[0]) for entry in timed)
    )


def _panel(title: str, entries: Sequence[Entry]) -> Markup:
    return chart(title, [_row(entry) for entry in entries])


def _row(entry: Entry) -> Markup:
    ops = entry.result.ops or ()
    total = sum(op.ns for op in ops)
    inside = sum(op.ns for op in ops if op.delegated)
    share = inside / total if total else 0.0
    calls = sum(not op.delegated for op in ops)
    told = f"{entry.subject.label}: {figures.percent(share)} % of the operators' time in the delegate"
    top = (_HEIGHT - _BAR) // 2
    bars = [
        element("rect", x="0%", y=top, width=f"{100 * share:.2f}%", height=_BAR, class_="inside"),
        element(
            "rect", x=f"{100 * share:.2f}%", y=top, width=f"{100 - 100 * share:.2f}%", height=_BAR, class_="outside"
        ),
    ]
    value = join(
        element("b", figures.percent(share)), " %", element("small", f"{figures.plural(calls, 'operator')} outside")
    )
    return row(drawing.naming(entry, _explained(entry)), plot(_HEIGHT, told, *bars), value)


def _explained(entry: Entry) -> str | None:
    """How much of the runs in which operators were timed their sum explains."""
    timed = entry.result.ops_pass
    if timed is None or not sum(timed.run_ns):
        return None
    share = sum(op.ns for op in entry.result.ops or ()) / sum(timed.run_ns)
    return f"operators explain {figures.percent(share)} % of the run"


def _details(entry: Entry, opened: bool) -> Markup:
    ops = sorted(entry.result.ops or (), key=lambda op: -op.ns)
    rest = ops[_SHOWN:]
    left = figures.percent(sum(op.ns for op in rest) / (sum(op.ns for op in ops) or 1))
    others = (
        element("p", f"{figures.plural(len(rest), 'other operator')} take {left} %.", class_="muted") if rest else None
    )
    summary = element("summary", drawing.naming(entry), element("span", entry.conditions.title, class_="where"))
    tables = [_table("by type", _by_type(ops), entry), _table("the costliest", ops[:_SHOWN], entry)]
    return element("details", summary, *tables, others, open=opened)


def _by_type(ops: Sequence[OpCost]) -> list[OpCost]:
    """All operators of a type as one."""
    groups: dict[tuple[str, bool], list[OpCost]] = {}
    for op in ops:
        groups.setdefault((op.type, op.delegated), []).append(op)
    summed = [
        OpCost(kind, figures.plural(len(found), "operator"), delegated, sum(op.ns for op in found), 0)
        for (kind, delegated), found in groups.items()
    ]
    return sorted(summed, key=lambda op: -op.ns)


def _table(title: str, ops: Sequence[OpCost], entry: Entry) -> Markup:
    total = sum(op.ns for op in entry.result.ops or ()) or 1
    head = [element("th", word, scope="col") for word in (title, "module", "where")]
    head += [element("th", "ms", element("small", "per run"), scope="col")]
    head += [element("th", "share", element("small", "%"), scope="col")]
    body = [_op_row(op, op.ns / entry.op_runs, op.ns / total) for op in ops]
    whole = element(
        "table", element("thead", element("tr", *head)), element("tbody", *body), class_="figures small ops"
    )
    return element("div", whole, class_="scroll", tabindex=0, role="region", aria_label=f"operators {title}")


def _op_row(op: OpCost, ns: float, share: float) -> Markup:
    """A bar beside the share, so that the eye finds the large ones."""
    inside = "inside" if op.delegated else "outside"
    bar = element("i", element("i", class_=inside, style=f"width:{max(100 * share, 1):.1f}%"), class_="track")
    kind = None if op.name.startswith(op.type) else element("small", op.type)
    return element(
        "tr",
        element("th", op.name, kind, scope="row"),
        element("td", op.module or "", class_="text"),
        element("td", "in delegate" if op.delegated else element("strong", "outside"), class_="text"),
        element("td", figures.milliseconds(ns)),
        element("td", bar, element("span", figures.percent(share)), class_="barred"),
    )
