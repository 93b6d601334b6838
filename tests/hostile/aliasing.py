"""Small files that say a great deal: flatbuffers whose vectors point to the same table again and again.

Each is valid by the format's own rules. Whoever walks them without a budget takes the square of their size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any


@cache
def alias_bombs(backend: str, many: int) -> tuple[tuple[str, bytes], ...]:
    """Name and content of each; ``many`` is the length of their vectors."""
    makers = _PTE if backend == "executorch" else _TFLITE
    return tuple((name, make(many)) for name, make in makers.items())


def _builder() -> Any:
    import flatbuffers

    return flatbuffers.Builder(1 << 20)


def _same(builder: Any, offset: int, many: int) -> int:
    """A vector of ``many`` references to one object."""
    builder.StartVector(4, many, 4)
    for _ in range(many):
        builder.PrependUOffsetTRelative(offset)
    found: int = builder.EndVector()
    return found


def _numbers(builder: Any, many: int) -> int:
    builder.StartVector(4, many, 4)
    for _ in range(many):
        builder.PrependInt32(0)
    found: int = builder.EndVector()
    return found


def _table(builder: Any, fields: dict[int, tuple[str, int]]) -> int:
    """``fields``: number -> ("o", offset), ("b", byte) or ("i", number)."""
    builder.StartObject(12)
    for number, (kind, value) in fields.items():
        if kind == "o":
            builder.PrependUOffsetTRelativeSlot(number, value, 0)
        elif kind == "b":
            builder.PrependByteSlot(number, value, 255)
        else:
            builder.PrependInt32Slot(number, value, -1)
    found: int = builder.EndObject()
    return found


def _finished(builder: Any, root: int, identifier: bytes) -> bytes:
    builder.Finish(root, identifier)
    return bytes(builder.Output()) + bytes(64)


def _program(builder: Any, plan: dict[int, tuple[str, int]], **more: int) -> bytes:
    name = builder.CreateString("forward")
    plans = _same(builder, _table(builder, {0: ("o", name), **plan}), 1)
    fields = {0: ("i", 0), 1: ("o", plans)} | {int(key[1:]): ("o", value) for key, value in more.items()}
    return _finished(builder, _table(builder, fields), b"ET12")


def _chains(many: int) -> bytes:
    """Chains that all hold the same instructions, which are all one call."""
    builder = _builder()
    operators = _same(builder, _table(builder, {0: ("o", builder.CreateString("aten::add"))}), 1)
    instruction = _table(builder, {0: ("b", 1), 1: ("o", _table(builder, {0: ("i", 0)}))})
    chain = _table(builder, {2: ("o", _same(builder, instruction, many))})
    return _program(builder, {5: ("o", _same(builder, chain, many)), 6: ("o", operators)})


def _plan_tensors(many: int) -> bytes:
    """Inputs that are all one tensor, of as many dimensions."""
    builder = _builder()
    tensor = _table(builder, {2: ("o", _numbers(builder, many)), 8: ("b", 1)})
    value = _table(builder, {0: ("b", 5), 1: ("o", tensor)})
    return _program(builder, {2: ("o", _same(builder, value, 1)), 3: ("o", _numbers(builder, many))})


def _delegates(many: int) -> bytes:
    """Delegates that all read the same graph, whose nodes are all one."""
    inner = _builder()
    graph = _finished(inner, _table(inner, {1: ("o", _same(inner, _table(inner, {0: ("b", 1)}), many))}), b"XN01")
    builder = _builder()
    data = _same(builder, _table(builder, {0: ("o", builder.CreateByteVector(graph))}), 1)
    backend, reference = builder.CreateString("XnnpackBackend"), _table(builder, {0: ("b", 0), 1: ("i", 0)})
    delegate = _table(builder, {0: ("o", backend), 1: ("o", reference)})
    return _program(builder, {7: ("o", _same(builder, delegate, many))}, _3=data)


def _method_names(many: int) -> bytes:
    """Methods of one endless name, none of which is ``forward``."""
    builder = _builder()
    plan = _table(builder, {0: ("o", builder.CreateString("x" * 4 * many))})
    return _finished(builder, _table(builder, {0: ("i", 0), 1: ("o", _same(builder, plan, many))}), b"ET12")


def _model(builder: Any, graph: int, buffers: int | None = None, **more: int) -> bytes:
    empty = _same(builder, _table(builder, {}), 1) if buffers is None else buffers
    fields = {0: ("i", 3), 2: ("o", _same(builder, graph, 1)), 4: ("o", empty)}
    return _finished(
        builder, _table(builder, fields | {int(key[1:]): ("o", value) for key, value in more.items()}), b"TFL3"
    )


def _graph_tensors(many: int) -> bytes:
    builder = _builder()
    tensor = _table(builder, {0: ("o", _numbers(builder, many)), 3: ("o", builder.CreateString("t"))})
    return _model(builder, _table(builder, {0: ("o", _same(builder, tensor, many))}))


def _tensor_names(many: int) -> bytes:
    builder = _builder()
    tensor = _table(builder, {3: ("o", builder.CreateString("x" * 4 * many))})
    return _model(builder, _table(builder, {0: ("o", _same(builder, tensor, many))}))


def _ops(many: int) -> bytes:
    builder = _builder()
    tensors = _same(builder, _table(builder, {3: ("o", builder.CreateString("t"))}), 1)
    op = _table(builder, {1: ("o", _numbers(builder, many)), 2: ("o", _numbers(builder, 1))})
    graph = _table(builder, {0: ("o", tensors), 3: ("o", _same(builder, op, many))})
    return _model(builder, graph, _1=_same(builder, _table(builder, {0: ("b", 0)}), 1))


def _graphs(many: int) -> bytes:
    """Subgraphs that are all one, of as many operators."""
    builder = _builder()
    graph = _table(builder, {3: ("o", _same(builder, _table(builder, {}), many))})
    codes = _same(builder, _table(builder, {0: ("b", 0)}), 1)
    empty = _same(builder, _table(builder, {}), 1)
    fields = {0: ("i", 3), 1: ("o", codes), 2: ("o", _same(builder, graph, many)), 4: ("o", empty)}
    return _finished(builder, _table(builder, fields), b"TFL3")


def _signatures(many: int) -> bytes:
    """Inputs that each look through a signature as long as their own list."""
    builder = _builder()
    tensors = _same(builder, _table(builder, {3: ("o", builder.CreateString("t"))}), 1)
    edges = _numbers(builder, many)
    graph = _table(builder, {0: ("o", tensors), 1: ("o", edges), 2: ("o", edges)})
    pairs = _same(builder, _table(builder, {0: ("o", builder.CreateString("x")), 1: ("i", 7)}), many)
    return _model(builder, graph, _7=_same(builder, _table(builder, {0: ("o", pairs), 1: ("o", pairs)}), 1))


def _buffers(many: int) -> bytes:
    """Buffers that are all the same bytes."""
    builder = _builder()
    graph = _table(builder, {})
    data = _table(builder, {0: ("o", builder.CreateByteVector(bytes(4 * many)))})
    return _model(builder, graph, _same(builder, data, many))


_PTE: dict[str, Callable[[int], bytes]] = {
    "chains": _chains,
    "tensors": _plan_tensors,
    "delegates": _delegates,
    "names": _method_names,
}
_TFLITE: dict[str, Callable[[int], bytes]] = {
    "tensors": _graph_tensors,
    "names": _tensor_names,
    "operators": _ops,
    "subgraphs": _graphs,
    "signatures": _signatures,
    "buffers": _buffers,
}
