"""The conversions a user would write with the libraries alone: ``bare_conversion.py BACKEND PRECISION OUT``."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
source = __import__("mobilenet_v2").model()
module, example = source.model.eval(), source.example_inputs
if isinstance(example, dict):
    example = tuple(example.values())


def samples() -> list[torch.Tensor]:
    rows = (next(iter(sample.values())) if isinstance(sample, dict) else sample for sample in source.calibration())
    return [torch.as_tensor(row) for row in rows]


def executorch(precision: str, path: str) -> None:
    import executorch.kernels.quantized  # noqa: F401
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(module, example)
    if precision == "int8":
        program = torch.export.export(quantized(program.module()), example)
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    Path(path).write_bytes(edge.to_executorch().buffer)


def quantized(graph: torch.fx.GraphModule) -> torch.fx.GraphModule:
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    prepared = prepare_pt2e(
        graph, XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    )
    for sample in samples():
        prepared(sample)
    return convert_pt2e(prepared)


def litert(precision: str, path: str) -> None:
    import litert_torch

    litert_torch.convert(module, example).export(path)
    if precision == "int8":
        from litert_quantizer import quantizer, recipe

        quant = quantizer.Quantizer(path, recipe.static_wi8_ai8())
        data = {"serving_default": [{"args_0": sample.numpy()} for sample in samples()]}
        quant.quantize(quant.calibrate(data)).export_model(path, overwrite=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    backend, precision, path = sys.argv[1:]
    with torch.no_grad():
        {"executorch": executorch, "litert": litert}[backend](precision, path)
