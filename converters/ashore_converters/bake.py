"""Turn what compression tools hang on a module back into plain weights, before any backend sees it.

Pruning masks, weight norm and other parametrizations recompute a weight at every call; exporters either trace that
arithmetic into the file or, worse, keep the wrong tensor without a word. Weights of torchao's tensor classes are
lowered to garbage unless the backend knows that very class. After :func:`bake` a module holds ordinary parameters
that give the same outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ashore.errors import UnsupportedModel
from ashore.sources.copying import copy_module
from ashore.types.precision import Precision

if TYPE_CHECKING:
    import torch

PREFIX = "model."
"""Where the user's module sits inside the module a converter is given."""


@dataclass(frozen=True)
class QuantizedWeight:
    """A parameter that is an instance of one of torchao's tensor classes.

    ``grouped``: several scales along a row. ``dynamic_activations``: the layer also quantizes its input at run time,
    which dequantizing the weight undoes.
    """

    module_path: str
    kind: str
    bits: int | None
    grouped: bool
    dynamic_activations: bool


def bake(module: torch.nn.Module, keep: Callable[[QuantizedWeight], bool] | None = None) -> torch.nn.Module:
    """A copy of ``module`` with plain weights and without gradients; the original is not touched.

    Weights that torchao has quantized become floats, but for those that ``keep`` says a backend runs as they are.

    Raises:
        UnsupportedModel: a layer of ``torch.ao.nn.quantized`` that has no float counterpart.
    """
    baked = copy_module(module)
    _replace_packed_layers(baked)
    tied = _Tied()
    for layer in list(baked.modules()):
        _remove_weight_hooks(layer, tied)
        _remove_parametrizations(layer, tied)
    _dequantize(baked, keep or (lambda _: False))
    return baked.requires_grad_(False)


def recurrent_layers(module: torch.nn.Module) -> dict[str, torch.nn.RNNBase]:
    """By the path that the user knows."""
    import torch

    named = module.named_modules()
    return {user_path(path): layer for path, layer in named if isinstance(layer, torch.nn.RNNBase)}


def user_path(module_path: str) -> str:
    """A module path as the user knows it."""
    return module_path.removeprefix(PREFIX)


def quantized_weights(module: torch.nn.Module) -> tuple[QuantizedWeight, ...]:
    """Every torchao tensor among the parameters, by the path of the module that holds it."""
    found = []
    for path, layer in module.named_modules():
        held = layer._parameters.values()
        found += [_described(weight, path) for weight in held if weight is not None and _is_torchao(weight)]
    return tuple(found)


def _described(weight: torch.Tensor, path: str) -> QuantizedWeight:
    block = tuple(getattr(weight, "block_size", ()))
    grouped = bool(block) and block[-1] != weight.shape[-1]
    kind = type(weight.data).__name__
    return QuantizedWeight(user_path(path), kind, _bits(weight), grouped, _has_dynamic_activations(weight))


class _Tied:
    """Layers that read one tensor: each gets its own before its mask is written into it, and they share equal ones."""

    def __init__(self) -> None:
        self._baked: dict[torch.nn.Parameter, list[torch.nn.Parameter]] = {}

    def untie(self, holder: torch.nn.Module, name: str) -> torch.nn.Parameter | None:
        """The tensor that ``holder`` read so far."""
        import torch

        shared = holder._parameters.get(name)
        if shared is not None:
            holder._parameters[name] = torch.nn.Parameter(shared.detach().clone())
        return shared

    def tie_again(self, layer: torch.nn.Module, name: str, shared: torch.nn.Parameter | None) -> None:
        own = layer._parameters.get(name)
        if shared is None or own is None:
            return
        known = self._baked.setdefault(shared, [])
        layer._parameters[name] = next((each for each in known if each.equal(own)), own)
        known.append(own)


def _remove_weight_hooks(layer: torch.nn.Module, tied: _Tied) -> None:
    """Undo ``torch.nn.utils.prune`` and the old, hook-based ``weight_norm`` and ``spectral_norm``."""
    from torch.nn.utils import prune, remove_spectral_norm, remove_weight_norm
    from torch.nn.utils.spectral_norm import SpectralNorm
    from torch.nn.utils.weight_norm import WeightNorm

    for hook in list(layer._forward_pre_hooks.values()):
        if isinstance(hook, prune.BasePruningMethod):
            shared = tied.untie(layer, f"{hook._tensor_name}_orig")
            prune.remove(layer, hook._tensor_name)  # type: ignore[no-untyped-call]  # torch leaves it untyped
            tied.tie_again(layer, hook._tensor_name, shared)
        elif isinstance(hook, WeightNorm):
            remove_weight_norm(layer, hook.name)
        elif isinstance(hook, SpectralNorm):
            remove_spectral_norm(layer, hook.name)


def _remove_parametrizations(layer: torch.nn.Module, tied: _Tied) -> None:
    from torch.nn.utils import parametrize

    if not parametrize.is_parametrized(layer):
        return
    _own_class(layer)
    parametrizations: Any = layer.parametrizations
    for name in list(parametrizations):
        shared = tied.untie(parametrizations[name], "original")
        parametrize.remove_parametrizations(layer, name, leave_parametrized=True)
        tied.tie_again(layer, name, shared)


def _own_class(layer: torch.nn.Module) -> None:
    """Give a parametrized copy its own class: torch shares it with the original and deletes properties from it."""
    shared = type(layer)
    own = {name: value for name, value in vars(shared).items() if name not in ("__dict__", "__weakref__")}
    layer.__class__ = type(shared.__name__, shared.__bases__, own)


_PACKED_LINEAR = "torch.ao.nn.quantized.dynamic.modules.linear.Linear"


def count_packed_linear(module: torch.nn.Module) -> int:
    """Layers that become plain linear ones when the model is baked."""
    return sum(_kind(layer) == _PACKED_LINEAR for layer in module.modules())


def _kind(layer: torch.nn.Module) -> str:
    return f"{type(layer).__module__}.{type(layer).__name__}"


def refuse_packed_layers(module: torch.nn.Module) -> None:
    """Raises UnsupportedModel for a layer of ``torch.ao.nn.quantized`` that has no float counterpart."""
    for path, layer, _, _ in _packed_layers(module):
        if _kind(layer) != _PACKED_LINEAR:
            raise UnsupportedModel(
                f"layer '{path}' is {_kind(layer)}, which holds packed weights that no backend can read",
                "convert the float model and let ashore quantize it: --precision int8",
            )


def refuse_dynamic_inputs(layers: str, instead: Precision) -> None:
    """Raises UnsupportedModel; ``layers``: those of ``dynamic_activations``, in words, of a model asked for in fp32."""
    raise UnsupportedModel(
        f"{layers} were quantized by torchao to round their inputs to 8 bits, which a file of fp32 cannot repeat",
        f"use --precision {instead}, or convert the model from before its quantization",
    )


def _packed_layers(module: torch.nn.Module, path: str = "") -> Iterator[tuple[str, Any, torch.nn.Module, str]]:
    """By the user's path, with the module that holds each and its name there."""
    for name, child in list(module.named_children()):
        child_path = f"{path}.{name}" if path else name
        if type(child).__module__.startswith("torch.ao.nn.quantized"):
            yield user_path(child_path), child, module, name
        else:
            yield from _packed_layers(child, child_path)


def _replace_packed_layers(module: torch.nn.Module) -> None:
    """Put float layers in the place of ``torch.ao.nn.quantized`` ones, whose packed weights cannot be exported."""
    refuse_packed_layers(module)
    for _, layer, holder, name in _packed_layers(module):
        setattr(holder, name, _float_linear(layer))


def _float_linear(packed: Any) -> torch.nn.Linear:
    import torch

    weight, bias = packed.weight(), packed.bias()
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        linear.weight.copy_(weight.dequantize())
        if bias is not None:
            linear.bias.copy_(bias)
    return linear.eval()


def _dequantize(module: torch.nn.Module, keep: Callable[[QuantizedWeight], bool]) -> None:
    import torch

    for path, layer in module.named_modules():
        for name, weight in list(layer._parameters.items()):
            if weight is not None and _is_torchao(weight) and not keep(_described(weight, path)):
                layer._parameters[name] = torch.nn.Parameter(weight.data.dequantize(), requires_grad=False)


def _is_torchao(tensor: torch.Tensor) -> bool:
    return type(tensor.data).__module__.startswith("torchao.")


def _bits(weight: Any) -> int | None:
    """Four for ``torch.int4``; None where the class does not say."""
    dtype = str(getattr(weight, "target_dtype", ""))
    digits = dtype.rpartition("int")[2]
    return int(digits) if digits.isdigit() else None


def _has_dynamic_activations(weight: Any) -> bool:
    marks = ("activation_quantization", "act_quant_kwargs")
    return any(getattr(weight, mark, None) is not None for mark in marks)
