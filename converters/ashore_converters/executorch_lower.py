"""From a captured program to the bytes of a .pte file."""

from __future__ import annotations

from typing import Any

from torch.export import ExportedProgram

from ashore.errors import ConversionError
from ashore_converters.executorch_failures import lowering_failed


def lower(program: ExportedProgram) -> Any:
    """An executorch program, as much of it as possible in XNNPACK delegates.

    Raises:
        UnsupportedModel: an operator without a kernel.
        LoweringFailed: anything else executorch stumbles over.
    """
    # Registers the out variants of quantize and dequantize, which undelegated ones need.
    import executorch.kernels.quantized  # noqa: F401
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, ExecutorchBackendConfig, to_edge_transform_and_lower

    graph, stage = program.graph, "partitioning it for XNNPACK"
    try:
        # The validity check refuses quantized graphs and operators that have a kernel all the same.
        config = EdgeCompileConfig(_check_ir_validity=False)
        edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()], compile_config=config)
        graph, stage = edge.exported_program().graph, "emitting the program"
        return edge.to_executorch(ExecutorchBackendConfig(extract_delegate_segments=True))
    except ConversionError:
        raise
    except Exception as error:  # executorch's passes raise whatever they meet
        raise lowering_failed(error, graph, stage) from error
