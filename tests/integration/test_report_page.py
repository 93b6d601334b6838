"""The report's page in a real headless Chromium: it renders everywhere, in silence, and says what the profile says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import browser
import sample_profiles
from ashore.profiling.profiles import save_profile
from ashore.report import report
from ashore.types.profile import Profile
from ashore.types.target import TargetKind

HOSTILE = '<script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'">"\'&\x1b]0;'
SECTIONS = ["glance", "table", "warnings", "tradeoff", "latency", "threads", "sustained", "memory"]
SECTIONS += ["instructions", "operators", "reasons", "environment", "gaps", "method"]
FIGURES = """[...document.querySelectorAll('#table tr[data-sha256]')].map(row => ({
    key: [row.dataset.sha256, row.dataset.target, row.dataset.threads].join(' '),
    cells: Object.fromEntries([...row.querySelectorAll('td')].map(cell => [
        cell.dataset.metric, {value: cell.querySelector('data')?.value ?? null, shown: cell.innerText}]))
}))"""
TOO_WIDE = """[...document.querySelectorAll('body *')].filter(each =>
    !each.closest('.scroll') && !each.closest('svg') && each.getBoundingClientRect().right > innerWidth + 1
).map(each => each.outerHTML.slice(0, 120))"""
CONTRAST = """(() => {
    const light = colour => { const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(value => {
        const part = value / 255; return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4; });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const ground = each => { for (let at = each; at; at = at.parentElement) {
        const found = getComputedStyle(at).backgroundColor; if (!/, 0\\)$/.test(found)) return found; }
        return 'rgb(255,255,255)'; };
    return [...document.querySelectorAll('h1,h2,h3,p,th,td,li,a,small,b,dt,dd,.badge')]
        .filter(each => each.textContent.trim() && each.getBoundingClientRect().width)
        .map(each => { const [a, b] = [light(getComputedStyle(each).color), light(ground(each))].sort((x, y) => y - x);
            return [(a + 0.05) / (b + 0.05), each.outerHTML.slice(0, 100)]; })
        .filter(([ratio]) => ratio < 4.5); })()"""


@pytest.fixture(scope="module")
def page() -> Iterator[browser.Page]:
    program = browser.chromium()
    if program is None:
        message = "Chromium is missing, so nobody looked at the report: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with browser.opened(program) as opened:
        yield opened


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn(sample_profiles.demo_profile(), tmp_path_factory.mktemp("demo"))


def drawn(profile: Profile, folder: Path) -> Path:
    save_profile(profile, folder / "profile.json")
    report([folder / "profile.json"], folder / "report.html")
    return folder / "report.html"


def test_trouble_would_be_noticed(page: browser.Page, tmp_path: Path) -> None:
    """What the other tests rely on."""
    (tmp_path / "bad.html").write_text(
        "<meta http-equiv='Content-Security-Policy' content=\"img-src 'none'\"><img src='http://127.0.0.1:9/'>"
        "<p style='color: #999; background: #fff'>pale</p><p style='width: 2000px'>wide</p>"
        "<script>console.error('told'); undefined_name</script>"
    )
    page.show(tmp_path / "bad.html", width=390)
    trouble = "\n".join(page.trouble)
    del page.trouble[:]
    assert "told" in trouble and "undefined_name" in trouble and "Content Security Policy" in trouble
    assert "pale" in str(page.evaluate(CONTRAST)) and "wide" in str(page.evaluate(TOO_WIDE))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 768, 1280, 1920])
def test_it_fits_every_screen_without_a_word_on_the_console(
    page: browser.Page, demo: Path, width: int, dark: bool
) -> None:
    page.show(demo, width=width, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(TOO_WIDE) == []
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(14, 21, 28)" if dark else "rgb(247, 245, 240)")
    assert page.evaluate("[...document.querySelectorAll('main > section')].map(each => each.id)") == SECTIONS
    empty = "[...document.querySelectorAll('svg[role=img]')].filter(each => each.getBBox().width < 20).length"
    assert page.evaluate(empty) == 0
    assert page.trouble == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everything_can_be_read(page: browser.Page, demo: Path, dark: bool) -> None:
    """WCAG asks for a contrast of 4.5 between text and its ground."""
    page.show(demo, width=1280, dark=dark)
    assert page.evaluate(CONTRAST) == []
    assert (
        page.evaluate("[...document.querySelectorAll('svg')].filter(each => !each.ariaLabel && !each.ariaHidden)") == []
    )


def test_its_figures_are_the_profiles(page: browser.Page, demo: Path) -> None:
    profile = json.loads((demo.parent / "profile.json").read_text())
    page.show(demo, width=1280)
    rows = {row["key"]: row["cells"] for row in page.evaluate(FIGURES)}
    assert len(rows) == len(profile["results"])
    for result in profile["results"]:
        artifact, target = result["artifact"], result["target"]
        cells = rows[f"{artifact['sha256']} {target['id']} {result['settings']['threads']}"]
        expected = {
            "size_bytes": artifact["bytes"],
            "compressed_bytes": artifact["compressed_bytes"],
            "sqnr_db": artifact["parity"]["sqnr_db"],
            "top1_agreement": artifact["parity"]["top1_agreement"],
            "delegated_share": artifact["delegation"]["delegated"] / artifact["delegation"]["total"],
            "memory_peak_bytes": result["memory"]["peak_bytes"],
            "latency_p50_ns": np.percentile(result["latency_ns"], 50) if "latency_ns" in result else None,
            "latency_p90_ns": np.percentile(result["latency_ns"], 90) if "latency_ns" in result else None,
            "instructions_per_run": result["instructions"]["per_run"] if "instructions" in result else None,
        }
        assert set(cells) == set(expected)
        for metric, value in expected.items():
            assert cells[metric]["value"] is None if value is None else float(cells[metric]["value"]) == value, metric
            if value is None:
                assert cells[metric]["shown"].startswith("not measured")
        assert cells["size_bytes"]["shown"] == f"{artifact['bytes'] / 1e6:.2f}"
        if "latency_ns" in result:
            assert cells["latency_p50_ns"]["shown"].startswith(f"{expected['latency_p50_ns'] / 1e6:.2f}")


def test_every_gap_has_its_reason(page: browser.Page, demo: Path) -> None:
    page.show(demo, width=1280)
    broken = (
        "[...document.querySelectorAll('.gap a')].filter(each => !document.querySelector(each.getAttribute('href')))"
    )
    assert page.evaluate(f"{broken}.length") == 0
    notes = page.evaluate("document.querySelector('#table .notes').innerText")
    assert "not measured: this target does not count instructions" in notes
    assert "not measured: the emulator's own time" in notes


def test_every_run_is_drawn(page: browser.Page, demo: Path) -> None:
    profile = sample_profiles.demo_profile()
    timed = [result for result in profile.results if result.target.kind is not TargetKind.EMULATOR]
    page.show(demo, width=1280)
    drawn_dots = page.evaluate("document.querySelectorAll('#latency .samples circle').length")
    beyond = page.evaluate("[...document.querySelectorAll('#latency .beyond')].map(each => parseInt(each.textContent))")
    assert drawn_dots + sum(beyond) == sum(len(result.latency_ns or ()) for result in timed)


def test_marks_lie_where_the_axis_says(page: browser.Page, demo: Path) -> None:
    """Read from the first row's drawing by its own axis: the median that it prints, and the profile's samples."""
    page.show(demo, width=1280)
    median, printed, dots = page.evaluate(
        """(() => { const chart = document.querySelector('#latency .chart'), row = chart.querySelector('.row');
        const at = each => { const box = each.getBoundingClientRect(); return box.left + box.width / 2; };
        const ticks = [...chart.querySelectorAll('.ticks text')].map(each => parseFloat(each.textContent));
        const lines = [...row.querySelectorAll('line.grid')].map(at);
        const ms = each => ticks[1] + (at(each) - lines[1]) * (ticks[2] - ticks[1]) / (lines[2] - lines[1]);
        return [ms(row.querySelector('line.median')), parseFloat(row.querySelector('.value b').textContent),
            [...row.querySelectorAll('.samples circle')].map(ms)]; })()"""
    )
    assert median == pytest.approx(printed, rel=0.005)
    timed = [result for result in sample_profiles.demo_profile().results if result.latency_ns]
    fastest = min((each for each in timed if each.settings.threads == 1), key=lambda each: np.median(each.latency_ns))
    samples = [ns / sample_profiles.MS for ns in fastest.latency_ns]
    assert dots == pytest.approx([ms for ms in samples if ms <= max(dots) + 0.1], rel=0.005)
    assert len(dots) > 50


def test_it_asks_the_network_for_nothing_and_needs_no_script(page: browser.Page, demo: Path) -> None:
    del page.fetched[:]
    page.show(demo, width=1280, scripts=False)
    assert [address for address in page.fetched if not address.startswith("file:")] == []
    assert len(page.fetched) == 1
    text = demo.read_text()
    assert "<script" not in text and "http" not in text.replace("http-equiv", "")
    assert page.picture()[:8] == b"\x89PNG\r\n\x1a\n"


def test_names_of_strangers_are_only_names(page: browser.Page, tmp_path: Path) -> None:
    result = sample_profiles.with_ops(sample_profiles.on_host(sample_profiles.FILES[0], 10))
    hostile = replace(
        result,
        artifact=replace(result.artifact, name=HOSTILE, backend=HOSTILE, precision=HOSTILE),
        target=replace(result.target, id=HOSTILE, cpu=HOSTILE, os=HOSTILE, runtime_version=HOSTILE),
        ops=tuple(replace(op, name=HOSTILE, type=HOSTILE, module=HOSTILE) for op in result.ops or ()),
        memory=replace(result.memory, method=HOSTILE) if result.memory else None,
        warnings=(HOSTILE,),
        skipped={HOSTILE: HOSTILE, "instructions": HOSTILE},
    )
    other = replace(hostile, settings=replace(hostile.settings, threads=2))
    file = drawn(Profile((hostile, other), HOSTILE, {HOSTILE: HOSTILE}), tmp_path)
    for width in (390, 1280):
        page.show(file, width=width)
        assert page.evaluate("document.title").startswith("<script>")
        assert page.evaluate("document.querySelectorAll('script, img').length") == 0
        assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.trouble == []


def test_thorough_profiles_are_drawn_as_histograms_of_bearable_size(page: browser.Page, tmp_path: Path) -> None:
    results = [sample_profiles.on_host(file, 10.0, runs=4000, seed=3) for file in sample_profiles.FILES]
    file = drawn(Profile(tuple(results), "2026-11-25T22:37:48+00:00"), tmp_path)
    assert file.stat().st_size < 300_000
    page.show(file, width=1280)
    assert page.evaluate("document.querySelectorAll('#latency .samples circle').length") == 0
    assert page.evaluate("document.querySelectorAll('#latency .samples rect').length") > 40
    assert page.trouble == []


def test_what_a_profile_lacks_has_no_section(page: browser.Page, tmp_path: Path) -> None:
    bare = replace(sample_profiles.emulated(sample_profiles.FILES[0], 812 * sample_profiles.MS), memory=None)
    page.show(drawn(Profile((bare,), "2026-11-25T22:37:48+00:00"), tmp_path), width=390)
    shown = page.evaluate("[...document.querySelectorAll('main > section')].map(each => each.id)")
    assert {"table", "instructions", "environment", "gaps"} <= set(shown)
    assert not {"latency", "memory", "operators", "threads", "sustained", "tradeoff"} & set(shown)
    assert page.trouble == []


def test_it_prints(page: browser.Page, demo: Path) -> None:
    page.show(demo, width=1280, dark=True)
    assert page.pdf()[:5] == b"%PDF-"
