"""From a captured program to the bytes of a .pte file."""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram

from ashore.errors import ConversionError
from ashore_converters.executorch.failures import lowering_failed, node_path, unsupported_operators
from ashore_converters.executorch.recurrent_lower import Int8Wanted, delegate_steps


class LayersLeftOut(Exception):
    """XNNPACK does not take these layers in int8, by module path: they would dequantize their weights at every run,
    on kernels that compute them slowly and wrongly."""

    def __init__(self, module_paths: list[str]) -> None:
        super().__init__(", ".join(module_paths))
        self.module_paths = module_paths


def lower(program: ExportedProgram, int8_steps: Int8Wanted) -> Any:
    """An executorch program, as much of it as possible in XNNPACK delegates.

    ``int8_steps`` tells for the path of a recurrent layer whether its steps have int8 weights.

    Raises:
        UnsupportedModel: an operator without a kernel.
        LayersLeftOut: some layers must be float for this to end well.
        LoweringFailed: anything else executorch stumbles over.
    """
    # Registers the out variants of quantize and dequantize, which undelegated ones need.
    import executorch.kernels.quantized  # noqa: F401
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    graph, stage = program.graph, "partitioning it for XNNPACK"
    try:
        # The validity check refuses quantized graphs and operators that have a kernel all the same.
        config = EdgeCompileConfig(_check_ir_validity=False)
        edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()], compile_config=config)
        delegate_steps(edge, int8_steps)
        graph, stage = edge.exported_program().graph, "emitting the program"
        _check_layers(graph)
        lowered = edge.to_executorch(_backend_config())
        _check_kernels(lowered, program.graph)
        return lowered
    except (ConversionError, LayersLeftOut):
        raise
    except Exception as error:  # executorch's passes raise whatever they meet
        raise lowering_failed(error, graph, stage) from error


def _backend_config() -> Any:
    """Inputs stay where the caller has them: planned memory for them would cost as much again, and a copy each run."""
    from executorch.exir import ExecutorchBackendConfig
    from executorch.exir.passes import MemoryPlanningPass

    planning = MemoryPlanningPass(alloc_graph_input=False)
    return ExecutorchBackendConfig(extract_delegate_segments=True, memory_planning_pass=planning)


def _check_layers(graph: torch.fx.Graph) -> None:
    rounded = [node for node in graph.nodes if "dequantize_per_channel" in str(node.target)]
    users = dict.fromkeys(user for node in rounded for user in node.users)
    layers = [node for node in users if any(kind in str(node.target) for kind in ("convolution", "linear", "mm"))]
    if layers:
        raise LayersLeftOut([node_path(node) for node in layers])


def _check_kernels(lowered: Any, graph: torch.fx.Graph) -> None:
    """The runtime has fewer kernels than the compiler has operators, and says so only when a file is loaded."""
    from executorch.extension.pybindings import portable_lib

    known = set(portable_lib._get_operator_names())
    used = [op for plan in lowered.executorch_program.execution_plan for op in plan.operators]
    names = [f"{op.name}.{op.overload}" if op.overload else op.name for op in used]
    missing = [name for name in names if name not in known]
    if missing:
        raise unsupported_operators(missing, graph)
