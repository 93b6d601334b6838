"""Options of every command."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from ashore.cli.terminal import Terminal
from ashore.errors import UsageError
from ashore.types.recipe import RangeEstimator, Recipe, Repair

_Body = Callable[..., int | None]


def common(body: _Body) -> _Body:
    """Options of every command, and a stdout that only results reach.

    The options carry no value: Terminal and the failure report read them from the words of the call, since a call
    may fail before its options are parsed.
    """

    @functools.wraps(body)
    def command(terminal: Terminal, /, **options: Any) -> int | None:
        with terminal.guarded():
            return body(terminal, **options)

    passed = click.pass_obj(command)
    with_json = click.option("--json", is_flag=True, expose_value=False, help="One JSON document on stdout.")(passed)
    return click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")(with_json)


timeout = click.option(
    "--timeout",
    "timeout_s",
    default=300.0,
    show_default=True,
    metavar="S",
    help="Seconds that loading, and each run, may take.",
)


def read_drops(words: tuple[str, ...]) -> dict[str, float]:
    """``NAME=VALUE`` each. Raises UsageError for anything else."""
    drops = {}
    for word in words:
        name, equals, value = word.rpartition("=")
        try:
            drops[name] = float(value)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise UsageError(f"--max-metric-drop {word!r} is no NAME=VALUE", "for example --max-metric-drop top1=0.5")
    return drops


def with_ranges(recipe: Recipe | None, word: str | None) -> Recipe | None:
    """The recipe with the range estimator of that name. Raises UsageError where there is none."""
    if word is None:
        return recipe
    try:
        return replace(recipe or Recipe(), ranges=RangeEstimator(word))
    except ValueError:
        raise UsageError(f"there is no range estimator {word!r}", f"known: {', '.join(RangeEstimator)}") from None


_NO_REPAIR = "none"


def with_repairs(recipe: Recipe | None, words: tuple[str, ...]) -> Recipe | None:
    """``recipe`` with these repairs instead of its own, where any word is given; ``none`` takes them all away.

    Raises UsageError for words that name no repair, and for ``none`` beside others.
    """
    if not words:
        return recipe
    known = [repair.value for repair in Repair]
    asked = [] if words == (_NO_REPAIR,) else list(words)
    for word in asked:
        if word not in known:
            raise UsageError(f"--repair {word!r} is no repair", f"known: {', '.join(known)}, or {_NO_REPAIR} alone")
    return replace(recipe or Recipe(), repairs=tuple(repair for repair in Repair if repair in asked))
