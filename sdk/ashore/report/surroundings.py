"""What the reader must know about how the figures came about: warnings, machines, methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ashore.profiling.paces import pace_ns, slowdown
from ashore.profiling.statistics import CONFIDENCE
from ashore.report import figures
from ashore.report.alike import grouped, merged
from ashore.report.drawing import whereabouts
from ashore.report.entries import Entry, Source, by_target
from ashore.report.markup import Markup, element, join
from ashore.types.profile import CoreFrequency, Environment

Fact = tuple[str, Callable[[Environment], str | None]]


def warnings(entries: Sequence[Entry]) -> Markup | None:
    """Each once, with the results that it stands for; those that differ in numbers alone are one."""
    told = [(warning, entry) for entry in entries for warning in dict.fromkeys(entry.result.warnings)]
    items = []
    for alike in grouped(dict.fromkeys(warning for warning, _ in told)):
        concerned = dict.fromkeys(entry.place for warning, entry in told if warning in alike)
        items.append(element("li", element("p", merged(alike)), *whereabouts([entries[place] for place in concerned])))
    return element("ul", *items, class_="warnings") if items else None


def gaps(entries: Sequence[Entry]) -> Markup | None:
    """Everything that was not measured, and why; metrics that the same results lack for the same reason together."""
    concerned: dict[tuple[str, str], list[int]] = {}
    for entry in entries:
        for metric, reason in entry.result.skipped.items():
            concerned.setdefault((metric, reason), []).append(entry.place)
    alike: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for (metric, reason), places in concerned.items():
        alike.setdefault((reason, tuple(places)), []).append(_words(metric))
    lines = [
        element("li", element("p", element("b", ", ".join(metrics)), f" not measured: {reason}"), *whereabouts(which))
        for (reason, places), metrics in alike.items()
        if (which := [entries[place] for place in places])
    ]
    return element("ul", *lines, class_="gaps") if lines else None


def _words(metric: str) -> str:
    """environment.governor is "governor", latency_ns is "latency"."""
    name = metric.rpartition(".")[2]
    return name.removesuffix("_ns").removesuffix("_bytes").replace("_", " ")


def environments(entries: Sequence[Entry]) -> Markup:
    """The facts of each machine; where results differ, all values."""
    blocks = [_block(conditions.target, group) for conditions, group in by_target(entries).items()]
    return element("div", *blocks, class_="panels")


def _block(title: str, entries: Sequence[Entry]) -> Markup:
    target = entries[0].result.target
    known: list[tuple[str, Markup | str]] = [("machine", f"{target.cpu}, {target.abi}, {target.os}")]
    if target.cores:
        known.append(("cores", str(target.cores)))
    engines = dict.fromkeys(_engine(entry) for entry in entries)
    known += [("engine", engine) for engine in engines]
    known += _state(entries)
    lines = [join(element("dt", name), element("dd", value)) for name, value in known]
    return element("section", element("h3", title), element("dl", *lines), class_="panel")


def _engine(entry: Entry) -> str:
    target = entry.result.target
    runner = f", {target.runner} runner" if target.runner else ""
    return f"{entry.result.artifact.backend} {target.runtime_version}{runner}"


def _state(entries: Sequence[Entry]) -> list[tuple[str, Markup | str]]:
    """What the system told of itself; one line where all of it is absent for one reason."""
    values = {name: _values(read, entries) for name, read in _FACTS}
    reasons = {name: _why(name, entries[0]) for name in values}
    if not any(values.values()) and len(set(reasons.values())) == 1:
        return [("state", _gap(reasons.popitem()[1]))]
    return [(name, value or _gap(reasons[name])) for name, value in values.items()]


def _gap(reason: str) -> Markup:
    return element("span", f"not measured: {reason}", class_="gap")


def _values(read: Callable[[Environment], str | None], entries: Sequence[Entry]) -> str:
    found = dict.fromkeys(read(entry.result.environment) for entry in entries)
    return "; ".join(merged(alike) for alike in grouped(value for value in found if value is not None))


def _why(name: str, entry: Entry) -> str:
    skipped = entry.result.skipped
    keys = (f"environment.{_KEYS.get(name, name)}", "environment")
    return next((skipped[key] for key in keys if key in skipped), "the system does not tell")


def _frequencies(environment: Environment) -> str | None:
    cores = environment.frequencies
    if not cores:
        return None
    limits = dict.fromkeys(_limits(core) for core in cores)
    return ", ".join(text for text in limits if text) or None


def _limits(core: CoreFrequency) -> str | None:
    if core.max_khz is None:
        return f"{_gigahertz(core.current_khz)} GHz" if core.current_khz else None
    if core.min_khz is None:
        return f"up to {_gigahertz(core.max_khz)} GHz"
    return f"{figures.interval(core.min_khz, core.max_khz, _gigahertz)} GHz"


def _gigahertz(khz: float) -> str:
    return f"{khz / 1e6:.2f}"


def _temperature(environment: Environment) -> str | None:
    measured = environment.temperature
    return f"{measured.before_celsius:.0f} → {measured.after_celsius:.0f} °C" if measured else None


def _load(environment: Environment) -> str | None:
    load = environment.load
    return f"{load.average_before:.1f} → {load.average_after:.1f}" if load else None


def _others(environment: Environment) -> str | None:
    load = environment.load
    if load is None or load.others is None:
        return None
    stolen = f", {load.stolen:.2f} to the hypervisor" if load.stolen is not None else ""
    return f"{load.others:.2f} cores to other processes{stolen}"


def _pace(environment: Environment) -> str | None:
    pace = environment.pace
    return f"{slowdown(pace):+.0%} of time against its best, {pace_ns(pace) / 1000:.0f} µs" if pace else None


def _throttled(environment: Environment) -> str | None:
    load = environment.load
    if load is None or (load.throttled_ns is None and load.throttle_events is None):
        return None
    if not load.throttled_ns and not load.throttle_events:
        return "never"
    held = f"{figures.milliseconds(load.throttled_ns)} ms by quota" if load.throttled_ns is not None else None
    hot = figures.plural(load.throttle_events, "event") if load.throttle_events is not None else None
    return ", ".join(filter(None, (held, hot)))


_KEYS = {"clock": "frequencies", "load average": "load", "taken by others": "load", "throttled": "load"}
_FACTS: tuple[Fact, ...] = (
    ("governor", lambda environment: environment.governor),
    ("clock", _frequencies),
    ("temperature", _temperature),
    ("load average", _load),
    ("taken by others", _others),
    ("throttled", _throttled),
    ("pace", _pace),
)


def methods(sources: Sequence[Source]) -> Markup:
    """What the words and figures of the page mean."""
    made = [
        element("li", element("b", source.name), f", measured {source.profile.created}{_versions(source)}")
        for source in sources
    ]
    notes = [element("li", element("b", word), f": {text}") for word, text in _NOTES]
    return join(element("ul", *notes), element("p", "Drawn from:"), element("ul", *made))


def _versions(source: Source) -> str:
    words = [f"{name} {version}" for name, version in source.profile.versions.items()]
    return f", with {', '.join(words)}" if words else ""


_NOTES = (
    ("Passes", "latency, memory, operators and instructions are measured apart, so that none disturbs another."),
    ("Latency", "the engine's own time of one inference, without loading, copying inputs in or outputs out."),
    ("p50", f"the median of all runs, with the {CONFIDENCE:.0%} interval that resampling processes and runs gives."),
    ("p90, p99", "the time that 90 % and 99 % of the runs stay within; given only where the runs are enough for it."),
    ("Spread", "1.4826 times the median distance from the median, in percent of the median."),
    ("Load, first run", "medians over fresh processes; the first run is not among the others."),
    (
        "Bold",
        "the best under the same conditions. Medians whose intervals overlap are all bold: neither is shown faster.",
    ),
    ("Memory", "of the process that holds the engine. MB are millions of bytes."),
    ("Compressed", "the file after DEFLATE, as an app store ships it."),
    (
        "SQNR",
        "in decibels, the worst output against eager PyTorch on samples held back from calibration; 200 is identical.",
    ),
    ("Top-1 kept", "share of samples for which the file's best class is PyTorch's."),
    ("In delegate", "share of the graph's operators, each counted once, that the accelerated delegate takes."),
    ("Instructions", "of the guest, for one inference. An emulator's time is not the model's and is shown nowhere."),
    ("Conditions", "targets, thread counts and modes stand apart, since figures across them prove nothing."),
)
