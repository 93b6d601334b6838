"""An ONNX graph at fixed sizes: what it computes from shapes becomes numbers, and branches that hang on them are taken.

Exporters write a squeeze or a grid of an open size as dozens of operators, some with an If. With sizes that are known
nothing is left of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ashore.sources.onnx_nodes import attributes
from ashore.sources.onnx_sizes import check_value
from ashore.types.tensor import Array

_SMALL = 1024
"""Values up to this many numbers are computed here: shapes, axes and indices, no weights."""
_ROUNDS = 16
"""Each can settle a branch, behind which more is known; files nest a few."""
_KEPT = ("QuantizeLinear", "DequantizeLinear", "Constant")
_Sizes = dict[str, tuple[int, ...]]


def fixed(model: Any, shapes: Mapping[str, Sequence[int]]) -> Any:
    """A copy of the model for inputs of ``shapes``, by the file's own names.

    Raises:
        UsageError: at these sizes it holds a tensor that no file and no phone has room for.
    """
    own = type(model)()
    own.CopyFrom(model)
    for value in own.graph.input:
        _fix(value, shapes.get(value.name))
    del own.graph.value_info[:]  # says the sizes of another example
    for _ in range(_ROUNDS):
        sizes = _sizes(own)
        if not (_fold(own, sizes) | _take_branches(own.graph)):
            break
    return own


def _fix(value: Any, shape: Sequence[int] | None) -> None:
    for dim, size in zip(value.type.tensor_type.shape.dim, shape or (), strict=False):
        dim.dim_value = size


def _sizes(model: Any) -> _Sizes:
    """Of the values whose shape onnx can tell; none where it cannot read the model."""
    import onnx

    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # noqa: BLE001  # its errors share no class; the import itself tells what is wrong
        return {}
    found: _Sizes = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            found[value.name] = tuple(dim.dim_value for dim in tensor.shape.dim)
            check_value(value.name, found[value.name], _item_bytes(tensor.elem_type))
    return found


def _item_bytes(kind: int) -> int:
    import onnx

    return int(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind)).itemsize) if kind else 1


def _fold(model: Any, sizes: _Sizes) -> bool:
    """Whether anything became a number."""
    from onnx import numpy_helper

    stored, kept = dict(_stored(model.graph)), []
    for node in model.graph.node:
        results = _results(model, node, stored, sizes)
        if results is None:
            kept.append(node)
            continue
        stored.update(results)
        model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in results.items())
    folded = len(kept) < len(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return folded


def _stored(graph: Any) -> Iterator[tuple[str, Array]]:
    """The small constants."""
    from onnx import numpy_helper

    given = {value.name for value in graph.input}  # old files list weights there too, which a caller might replace
    held = [(each.name, each) for each in graph.initializer if each.name not in given]
    constants = [node for node in graph.node if node.op_type == "Constant" and node.attribute[0].name == "value"]
    held += [(node.output[0], node.attribute[0].t) for node in constants]
    for name, tensor in held:
        if math.prod(tensor.dims) <= _SMALL:
            yield name, numpy_helper.to_array(tensor)


def _results(model: Any, node: Any, stored: Mapping[str, Array], sizes: _Sizes) -> dict[str, Array] | None:
    if node.op_type == "Shape" and node.input[0] in sizes:
        given = attributes(node)
        part = sizes[node.input[0]][given.get("start", 0) : given.get("end")]
        return {node.output[0]: np.array(part, np.int64)}
    known = node.input and all(not name or name in stored for name in node.input)
    small = all(name in sizes and math.prod(sizes[name]) <= _SMALL for name in node.output if name)
    if not known or not small or node.op_type in _KEPT or any(each.HasField("g") for each in node.attribute):
        return None
    return _computed(model, node, {name: stored[name] for name in node.input if name})


def _computed(model: Any, node: Any, inputs: dict[str, Array]) -> dict[str, Array] | None:
    import onnx
    from onnx.reference import ReferenceEvaluator

    values = [onnx.helper.make_tensor_value_info(name, 1, None) for name in (*inputs, *filter(None, node.output))]
    graph = onnx.helper.make_graph([node], "one", values[: len(inputs)], values[len(inputs) :])
    alone = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    try:
        results = ReferenceEvaluator(alone).run(None, inputs)
    except Exception:  # noqa: BLE001  # numpy's and its own: then the importer computes it
        return None
    return {name: np.asarray(result) for name, result in zip(filter(None, node.output), results, strict=True)}


def _take_branches(graph: Any) -> bool:
    """Put the nodes of a branch in the place of an If whose condition is known; whether there was one."""
    stored, nodes, taken = dict(_stored(graph)), [], False
    for node in graph.node:
        if node.op_type == "If" and node.input[0] in stored:
            branch = attributes(node)["then_branch" if stored[node.input[0]].all() else "else_branch"]
            nodes += _inlined(graph, node, branch)
            taken = True
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return taken


def _inlined(graph: Any, node: Any, branch: Any) -> list[Any]:
    """The branch's nodes, its own names apart from the graph's; what it takes from around it keeps its name."""
    from onnx import helper

    own = [each.name for each in branch.initializer] + [name for each in branch.node for name in each.output if name]
    names = {name: f"{node.output[0]}/{name}" for name in own}
    _rename(branch, names)
    graph.initializer.extend(branch.initializer)
    ends = [
        helper.make_node("Identity", [value.name], [name])
        for value, name in zip(branch.output, node.output, strict=True)
    ]
    return [*branch.node, *ends]


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    for each in (*graph.initializer, *graph.output):
        each.name = names.get(each.name, each.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, names)
