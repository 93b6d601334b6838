"""HTML that is escaped by construction: what is not Markup is text, and text is escaped."""

from __future__ import annotations

from html import escape
from unicodedata import category

Attribute = str | int | float | bool | None
_EMPTY = frozenset({"br", "col", "meta", "line", "rect", "circle", "path", "use", "wbr"})


class Markup(str):
    """HTML already; everything else is escaped where it enters an element."""

    __slots__ = ()


def element(tag: str, *children: str | None, **attributes: Attribute) -> Markup:
    """``element("td", name, class_="name")``; names of attributes end in _ where Python knows the word, and - is _.

    A child that is None is left out, and so is an attribute that is None or False.
    """
    written = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _EMPTY and not children:
        return Markup(f"<{tag}{written}/>")
    return Markup(f"<{tag}{written}>{join(*children)}</{tag}>")


def join(*children: str | None) -> Markup:
    """The children one after the other, each escaped unless it is Markup."""
    return Markup("".join(_content(child) for child in children if child is not None))


def _content(child: str) -> str:
    return str(child) if isinstance(child, Markup) else escape(printable(child))


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    written = name.rstrip("_").replace("_", "-")
    return f" {written}" if value is True else f' {written}="{escape(printable(_plain(value)))}"'


def _plain(value: str | int | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def printable(text: str) -> str:
    """Control characters, marks that turn the direction of text and lone surrogates become visible marks."""
    return "".join(character if _allowed(character) else "\N{REPLACEMENT CHARACTER}" for character in text)


def _allowed(character: str) -> bool:
    return character in "\n\t" or character.isprintable() or category(character) == "Zs"
