"""What a user's module may still lack before it can run by itself: tensors on the CPU, float32."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ashore.errors import UnsupportedModel, UsageError

if TYPE_CHECKING:
    import torch


def check_devices(module: torch.nn.Module) -> None:
    """Raises UsageError for a tensor that ``module.cpu()`` cannot bring to the CPU."""
    for name, tensor in _registered(module):
        if tensor.is_meta:
            raise UsageError(
                f"tensor {name!r} of the model is on the device 'meta': it has a shape and no numbers",
                "load its weights first, or build the model outside torch.device('meta') and init_empty_weights()",
            )
    for name, tensor in _plain_attributes(module):
        if tensor.device.type != "cpu":
            raise UsageError(
                f"tensor {name!r} of the model stays on the device {str(tensor.device)!r} and does not move with it",
                "register it with register_buffer(), or keep it on the CPU",
            )


_UNFINISHED = {"FakeQuantizeBase", "FakeQuantizerBase", "ObserverBase"}
"""Classes of torch.ao and torchao, by name: each package has its own of them."""


def check_kinds(module: torch.nn.Module) -> None:
    """Raises UnsupportedModel for layers without Python code, and for those that training's rounding still hangs on."""
    import torch

    for path, layer in module.named_modules():
        where = f"its layer {path!r}" if path else "it"
        if isinstance(layer, torch.jit.ScriptModule):
            raise UnsupportedModel(
                f"the model is TorchScript, as {where} was scripted or traced, and torch.export takes Python alone",
                "give the torch.nn.Module that it was made of: file.py:name",
            )
        if _UNFINISHED & {kind.__name__ for kind in type(layer).__mro__}:
            raise UnsupportedModel(
                f"the model is prepared for quantization and was never converted: {where} is a {type(layer).__name__}",
                "finish it: convert_pt2e(model), or torchao's quantize_(model, QATConfig(config, step='convert')); of "
                "torch.ao's older kinds load the trained weights into the float model",
            )


def half_format(model: Any) -> str | None:
    """``float16`` or ``bfloat16`` where a module keeps all its floating-point numbers in that format, else None.

    A module that mixes formats was mixed by its author, and tensor classes such as torchao's keep other numbers than
    their dtype says: both are left as they are. Adapters do not count: PEFT keeps them in float32 beside halves.
    """
    import torch

    if not isinstance(model, torch.nn.Module):
        return None
    adapters = set(map(id, _adapters(model)))
    tensors = [tensor for _, tensor in _registered(model) if id(tensor) not in adapters]
    formats = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    plain = all(type(tensor) in (torch.Tensor, torch.nn.Parameter) for tensor in tensors)
    if not plain or len(formats) != 1 or not formats <= {torch.float16, torch.bfloat16}:
        return None
    return str(formats.pop()).removeprefix("torch.")


def _registered(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _adapters(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    """The tensors that PEFT's layers add, as these layers name them."""
    for layer in module.modules():
        for name in getattr(layer, "adapter_layer_names", ()):
            added: Any = getattr(layer, name, None)
            yield from (*added.parameters(), *added.buffers()) if added is not None else ()


def _plain_attributes(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    import torch

    for path, layer in module.named_modules():
        for name, value in vars(layer).items():
            if isinstance(value, torch.Tensor):
                yield f"{path}.{name}" if path else name, value
