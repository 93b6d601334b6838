"""torch's ``scan`` in a LiteRT file: a WHILE whose body is one step, whatever the length.

litert_torch lowers no loops, but its compiler takes StableHLO's ``while``. That compiler leaves the two halves of a
loop as regions where the file format wants subgraphs; ``litert/outline.py`` moves them there.

At every turn the interpreter copies what a loop carries, and what a scan carries grows with the sequence. So a long
sequence is taken in pieces, by a loop around the loop: a turn of the inner one copies a piece only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import GraphModule, Node

PIECE = 32
"""Steps. 256 of an LSTM of 128 units take 1.6 ms so, and 3.4 ms in one loop; pieces of 16 or 64 are no better."""

_LONG = 2 * PIECE
"""Shorter sequences are copied faster than a second loop is set up."""


def allow_loops() -> None:
    """Teach litert_torch to lower ``scan``."""
    from litert_torch.backend.lowerings import registry

    registry.global_registry.register(torch.ops.higher_order.scan, _lower_scan)


def _lower_scan(
    context: Any, step: GraphModule, starts: Sequence[Any], sequences: Sequence[Any], constants: Sequence[Any]
) -> tuple[Any, ...]:
    results: Any = step.graph.output_node().args[0]
    steps = sequences[0].type.shape[0]
    scan = _Scan(context, context.node, context.ir_location, step, steps)
    made = [_zeros(steps, node) for node in results[len(starts) :]]
    carried = _Carried(list(starts), made, list(sequences), list(constants))
    ends = scan.in_pieces(carried) if steps > _LONG else scan.whole(_number(0), steps, carried)
    return (*ends.state, *ends.made)


@dataclass(frozen=True)
class _Carried:
    """What a loop carries. All that it uses is among it, since litert_torch moves the code elsewhere afterwards."""

    state: list[Any]
    made: list[Any]
    sequences: list[Any]
    constants: list[Any]

    def flat(self) -> list[Any]:
        return [*self.state, *self.made, *self.sequences, *self.constants]

    def filled(self, values: Sequence[Any]) -> _Carried:
        """The same with other values, in the order of ``flat``."""
        left = iter(values)
        return _Carried(
            *([next(left) for _ in part] for part in (self.state, self.made, self.sequences, self.constants))
        )


@dataclass(frozen=True)
class _Scan:
    """``step``: the graph of one step. ``node`` and ``location``: where the scan stands in the model."""

    context: Any
    node: Node
    location: Any
    step: GraphModule
    steps: int

    def whole(self, first: Any, end: int, carried: _Carried) -> _Carried:
        """One loop over the steps from ``first`` to ``end``."""
        return _while(first, end, 1, carried, self._one_step)

    def in_pieces(self, carried: _Carried) -> _Carried:
        """The last piece overlaps the one before where the length does not divide; its loop starts behind that."""
        return _while(_number(0), self.steps, PIECE, carried, self._one_piece)

    def _one_step(self, turn: Any, carried: _Carried) -> _Carried:
        given = [_without_axis(_cut(sequence, turn, 1)) for sequence in carried.sequences]
        results = self._run([*carried.state, *given, *carried.constants])
        state, made = results[: len(carried.state)], results[len(carried.state) :]
        rows = [_with_axis(row) for row in made]
        return _Carried(state, _put(carried.made, rows, turn), carried.sequences, carried.constants)

    def _one_piece(self, turn: Any, carried: _Carried) -> _Carried:
        from litert_converter.mlir.dialects import stablehlo

        start = stablehlo.minimum(turn, _number(self.steps - PIECE))
        made, sequences = ([_cut(v, start, PIECE) for v in part] for part in (carried.made, carried.sequences))
        piece = _Carried(carried.state, made, sequences, carried.constants)
        ends = self.whole(stablehlo.subtract(turn, start), PIECE, piece)
        return _Carried(ends.state, _put(carried.made, ends.made, start), carried.sequences, carried.constants)

    def _run(self, operands: list[Any]) -> list[Any]:
        """The step's operators, which count as part of the layer that the loop belongs to."""
        from litert_torch.backend.export import LoweringInterpreter

        for node in self.step.graph.nodes:
            node.meta["nn_module_stack"] = self.node.meta.get("nn_module_stack", {})
        interpreter = LoweringInterpreter(self.step, self.context)
        interpreter.run(*operands, enable_io_processing=False)
        self.context.node, self.context.ir_location = self.node, self.location
        return list(interpreter.outputs)


def _while(first: Any, end: int, stride: int, carried: _Carried, body: Callable[[Any, _Carried], _Carried]) -> _Carried:
    from litert_converter.mlir import ir
    from litert_converter.mlir.dialects import stablehlo

    operands = [first, *carried.flat()]
    types = [operand.type for operand in operands]
    loop = stablehlo.WhileOp(types, operands)
    condition, turn = (region.blocks.append(*types) for region in loop.regions)
    with ir.InsertionPoint(condition):
        less = ir.Attribute.parse("#stablehlo<comparison_direction LT>")
        stablehlo.return_([stablehlo.compare(condition.arguments[0], _number(end), less)])
    with ir.InsertionPoint(turn):
        number, *given = turn.arguments
        made = body(number, carried.filled(given))
        stablehlo.return_([stablehlo.add(number, _number(stride)), *made.flat()])
    return carried.filled(list(loop.results)[1:])


def _put(targets: Sequence[Any], rows: Sequence[Any], at: Any) -> list[Any]:
    from litert_converter.mlir.dialects import stablehlo

    pairs = zip(targets, rows, strict=True)
    return [stablehlo.dynamic_update_slice(target, row, _corner(target, at)) for target, row in pairs]


def _cut(value: Any, at: Any, size: int) -> Any:
    from litert_converter.mlir.dialects import stablehlo

    return stablehlo.dynamic_slice(value, _corner(value, at), [size, *value.type.shape[1:]])


def _corner(value: Any, at: Any) -> list[Any]:
    return [at, *(_number(0) for _ in value.type.shape[1:])]


def _with_axis(value: Any) -> Any:
    return _reshaped(value, [1, *value.type.shape])


def _without_axis(value: Any) -> Any:
    return _reshaped(value, value.type.shape[1:])


def _reshaped(value: Any, shape: Sequence[int]) -> Any:
    from litert_converter.mlir import ir
    from litert_converter.mlir.dialects import stablehlo

    return stablehlo.reshape(ir.RankedTensorType.get(shape, value.type.element_type), value)


def _number(value: int) -> Any:
    from litert_converter.mlir import ir
    from litert_torch.backend.lowerings import utils

    return utils.splat(value, ir.IntegerType.get_signless(32))


def _zeros(steps: int, row: Node) -> Any:
    from litert_torch.backend.lowerings import utils

    value = row.meta["val"]
    return utils.splat(0, utils.torch_dtype_to_ir_element_type(value.dtype), [steps, *value.shape])
