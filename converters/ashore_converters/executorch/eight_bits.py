"""GPTQ for the int8 weights of an observed graph, whose inputs of layers are rounded as the file will round them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from ashore.interfaces import Progress
from ashore.types.conversion import ConversionRequest
from ashore.types.precision import Precision
from ashore.types.recipe import Rounding
from ashore.types.tensor import Sample
from ashore_converters.executorch.export import sample_tensors
from ashore_converters.executorch.observers import PerChannelWeightObserver
from ashore_converters.executorch.quantizer import argument, is_linear, is_transposed, layers, weight_of
from ashore_converters.executorch.trial import Trial, observer_at, simulating
from ashore_converters.gptq import Rounded
from ashore_converters.patches import Pair, Window, patches
from ashore_converters.rounding import Chosen, Key, Matrices, See, choose_rounding

_WITH_TRANSPOSED = 9
"""Arguments of the general convolution operator, which says in the seventh whether it is transposed."""


@dataclass(frozen=True, eq=False)
class _Layer:
    """One call of a weight that becomes int8; ``observer`` is the node that stands between the two."""

    node: Node
    observer: Node
    weight: Tensor

    @property
    def source(self) -> Node:
        return argument(self.observer, 0)

    @property
    def name(self) -> str:
        return str(self.source.target)

    @property
    def window(self) -> Window | None:
        """None of a linear layer."""
        if is_linear(self.node):
            return None
        given: list[Any] = [*self.node.args[3:6], *[None] * 3][:3]
        stride, padding, dilation = (_pair(*pair) for pair in zip(given, (1, 0, 1), strict=True))
        (above, left), groups = padding, _groups(self.node)
        return Window(_kernel(self.weight), stride, dilation, (left, left, above, above), groups)

    @property
    def matrix(self) -> Tensor:
        """[out, in] of a linear layer, [groups, out, in] of a convolution."""
        window = self.window
        return self.weight if window is None else self.weight.reshape(window.groups, -1, self.weight[0].numel())

    def rows(self, x: Tensor) -> Tensor:
        """The inputs of :attr:`matrix`."""
        window = self.window
        if window is None:
            return x
        batched = x if x.dim() == self.weight.dim() else x[None]
        return patches(batched if batched.dim() == 4 else batched.unsqueeze(2), window)


def round_8bit(trial: Trial, request: ConversionRequest, progress: Progress) -> Chosen:
    """In the graph on trial, where the recipe asks for it."""
    chosen = choose_8bit(trial, request, progress)
    put_rounded(trial.graph, {str(key): rounded.values for key, rounded in chosen.rounded.items()})
    return chosen


def choose_8bit(trial: Trial, request: ConversionRequest, progress: Progress) -> Chosen:
    """By the name of the weight in the graph on trial, which stays as it is."""
    if request.recipe.rounding_of(Precision.INT8) is not Rounding.GPTQ:
        return Chosen()
    found = {layer.node: layer for layer in _int8_layers(trial.graph) if not is_transposed(layer.node)}
    matrices: dict[Key, Tensor] = {layer.name: layer.matrix for layer in found.values()}

    def run(sample: Sample, see: See) -> None:
        with simulating(trial.graph):
            _Watching(trial.graph, found, see).run(*sample_tensors(sample, request.inputs))

    measured = Matrices(matrices, run, bits=8, measure_db=_measure(trial, list(found.values())))
    return choose_rounding(request, measured, progress)


def _measure(trial: Trial, found: Sequence[_Layer]) -> Callable[[Mapping[Key, Rounded]], float]:
    """See ``Matrices``; the weights are exchanged inside of their observers."""

    def measure_db(rounded: Mapping[Key, Rounded]) -> float:
        observers = {layer: _observer(trial.graph, layer.observer) for layer in found if layer.name in rounded}
        for layer, observer in observers.items():
            observer.rounded = rounded[layer.name].values.reshape(layer.weight.shape)
        measured = trial.sqnr_db()
        for observer in observers.values():
            observer.rounded = None
        return measured

    return measure_db


def put_rounded(prepared: GraphModule, values: Mapping[str, Tensor]) -> None:
    """Give layers that become int8 these ``values`` of their weights; whatever else reads a weight keeps its own."""
    for layer in list(_int8_layers(prepared)):
        if layer.name in values:
            weight = values[layer.name].reshape(layer.weight.shape)
            name = f"{layer.name.replace('.', '_')}_rounded"
            prepared.register_buffer(name, weight)
            with prepared.graph.inserting_before(layer.observer):
                rounded = prepared.graph.get_attr(name)
            rounded.meta = dict(layer.source.meta)
            _observer(prepared, layer.observer).look_at(weight)
            layer.observer.replace_input_with(layer.source, rounded)
    prepared.recompile()


def _int8_layers(prepared: GraphModule) -> Iterator[_Layer]:
    for node in layers(prepared.graph):
        between = argument(node, 1)
        if isinstance(observer_at(prepared, between), PerChannelWeightObserver):
            yield _Layer(node, between, weight_of(node, prepared).detach())


def _observer(prepared: GraphModule, node: Node) -> PerChannelWeightObserver:
    observer = observer_at(prepared, node)
    assert isinstance(observer, PerChannelWeightObserver)
    return observer


class _Watching(Interpreter):
    """Shows the inputs of layers while it runs a graph."""

    def __init__(self, graph: GraphModule, found: Mapping[Node, _Layer], see: See) -> None:
        super().__init__(graph)
        self._found, self._see = found, see

    def run_node(self, n: Node) -> Any:
        if n in self._found:
            (x, *_), _ = self.fetch_args_kwargs_from_env(n)
            self._see(self._found[n].name, self._found[n].rows(x))
        return super().run_node(n)


def _kernel(weight: Tensor) -> Pair:
    height, width = ([1, *weight.shape[2:]])[-2:]
    return height, width


def _pair(given: Any, usual: int) -> Pair:
    """Of what an operator over one or two dimensions was given, if anything."""
    along = [usual] if given is None else list(given)
    first = along[0] if len(along) > 1 else usual
    return int(first), int(along[-1])


def _groups(node: Node) -> int:
    place = _WITH_TRANSPOSED - 1 if len(node.args) >= _WITH_TRANSPOSED else 6
    groups: Any = node.args[place] if len(node.args) > place else 1
    return int(groups)
