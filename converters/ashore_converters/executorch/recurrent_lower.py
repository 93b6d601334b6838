"""Put the delegates of recurrent steps where the captured program calls them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import GraphModule, Node

from ashore.errors import LoweringFailed
from ashore.types.precision import Precision
from ashore.types.recipe import Recipe
from ashore_converters.executorch.recurrent import step_of
from ashore_converters.recurrent_step import Step

Int8Wanted = Callable[[str], bool]
"""Whether the layer at a module path has int8 weights."""


def delegate_steps(edge: Any, int8: Int8Wanted) -> None:
    """In place, in the loops of an edge program.

    Raises:
        LoweringFailed: XNNPACK does not take a step as a whole.
    """
    from executorch.exir.program._program import collect_named_data_store_from_exported_program

    program, found = edge.exported_program(), False
    for body in program.graph_module.children():
        for node in list(body.graph.nodes) if isinstance(body, GraphModule) else ():
            if "recurrent_step" in str(node.target):
                _delegate(body, node, int8)
                found = True
    if found:  # the weights of delegates added after partitioning
        collect_named_data_store_from_exported_program(program, edge._named_data_store)


def _delegate(body: GraphModule, node: Node, int8: Int8Wanted) -> None:
    carry, gates, key = node.args
    operands = [*carry, gates]  # type: ignore[misc]
    step = step_of(key)  # type: ignore[arg-type]
    lowered, call, order, results = _lowered(step, [operand.meta["val"] for operand in operands], int8(step.path))
    name = f"step_{key}"
    body.add_module(name, lowered)
    with body.graph.inserting_before(node):
        delegate = body.graph.get_attr(name)
        delegate.meta["val"] = lowered
        new = body.graph.call_function(
            torch.ops.higher_order.executorch_call_delegate, (delegate, *(operands[number] for number in order))
        )
        new.meta = {**node.meta, "val": call.meta["val"]}
    for user in list(node.users):
        user.args = (new, results[user.args[1]])  # type: ignore[index]  # a getitem's number
    body.graph.erase_node(node)
    body.recompile()


def _lowered(step: Step, like: list[Any], int8: bool) -> tuple[Any, Node, list[int], list[int]]:
    """The delegate; the node that calls it; which operands it takes; where among its results each carry is."""
    program = _edge_program(step, tuple(torch.randn(tuple(value.shape)) for value in like), int8)
    inputs = [node.name for node in program.graph.nodes if node.op == "placeholder"]
    calls = [node for node in program.graph.nodes if "executorch_call_delegate" in str(node.target)]
    outputs = program.graph.output_node().args[0]
    if len(calls) != 1 or any(output.args[0] is not calls[0] for output in outputs):
        raise LoweringFailed(f"XNNPACK does not take the steps of '{step.path}' as a whole", "use --to litert")
    lowered = program.graph_module.get_submodule(calls[0].args[0].target)
    return lowered, calls[0], [inputs.index(a.name) for a in calls[0].args[1:]], [o.args[1] for o in outputs]


def _edge_program(step: Step, example: tuple[torch.Tensor, ...], int8: bool) -> Any:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    with torch.no_grad():
        program = torch.export.export(step, example, strict=False)
        if int8:
            program = torch.export.export(_rounded(program, example), example, strict=False)
    config = EdgeCompileConfig(_check_ir_validity=False)
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()], compile_config=config)
    return edge.exported_program()


def _rounded(program: Any, example: tuple[torch.Tensor, ...]) -> GraphModule:
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

    from ashore_converters.executorch.quantize import observed

    prepared = observed(program.module(check_guards=False), Recipe(Precision.INT8_DYNAMIC))
    prepared(*example)  # weights are observed as they are used
    rounded: GraphModule = convert_pt2e(prepared)
    return rounded
