"""Reading a node of an ONNX graph while the importer is at it."""

from __future__ import annotations

from typing import Any

from torch.fx import Node


def attributes(node: Any) -> dict[str, Any]:
    """Their values by name; those at ONNX's defaults are mostly left out of files."""
    from onnx.helper import get_attribute_value

    return {each.name: get_attribute_value(each) for each in node.attribute}


def has_input(node: Any, place: int) -> bool:
    return len(node.input) > place and bool(node.input[place])


def optional(builder: Any, node: Any, place: int) -> Node | None:
    return builder.get_value(node.input[place]) if has_input(node, place) else None
