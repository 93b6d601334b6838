"""Move the regions of loops into functions, which become subgraphs of the file.

The compiler has a pass that does this, but neither runs it nor registers it for others to run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from typing import Any

LOOP = "loop"
"""How the names of the subgraphs begin."""

_WHILE, _CONSTANT = "tfl.while", "arith.constant"
_WITHOUT_OPERANDS = {_CONSTANT, "tfl.no_value"}
_MANY = 256


def outline_loops(module: Any) -> None:
    """In place. ``module`` is what the compiler made, in operators of the file format."""
    from litert_converter.mlir import ir

    loops = list(_loops(module.operation))
    if not loops:
        return
    with module.context, ir.Location.unknown():
        for number, loop in enumerate(reversed(loops)):  # inner ones first
            _outline(module, loop, f"{LOOP}{number}")
        _remove_unused_constants(module.operation)
        module.operation.verify()


def _outline(module: Any, loop: Any, name: str) -> None:
    captured = _captured(loop)
    constants = [value for value in captured if _is_constant(value)]
    passed = [value for value in captured if not _is_constant(value)]
    operands = [*_starts(loop), *passed]
    condition, body = loop.regions
    functions = [
        _function(module, condition.blocks[0], f"{name}_condition", passed, constants, ()),
        _function(module, body.blocks[0], f"{name}_body", passed, constants, passed),
    ]
    _replace(loop, operands, functions)


def _loops(operation: Any) -> Iterator[Any]:
    return (inner for inner in _inside(operation) if inner.name == _WHILE)


def _inside(operation: Any) -> Iterator[Any]:
    for block in _blocks(operation):
        for inner in block.operations:
            yield inner.operation
            yield from _inside(inner.operation)


def _blocks(operation: Any) -> Iterator[Any]:
    return (block for region in operation.regions for block in region.blocks)


def _captured(loop: Any) -> list[Any]:
    """Values from outside that the regions use."""
    inner = list(_inside(loop))
    own = {result for operation in inner for result in operation.results}
    own |= {argument for operation in (loop, *inner) for block in _blocks(operation) for argument in block.arguments}
    used = dict.fromkeys(operand for operation in inner for operand in operation.operands)
    return [value for value in used if value not in own]


def _is_constant(value: Any) -> bool:
    return getattr(value.owner, "name", "") in _WITHOUT_OPERANDS  # a block has no name


def _starts(loop: Any) -> list[Any]:
    """What the loop starts from, with FILL in the place of constants of many equal numbers."""
    from litert_converter.mlir import ir

    with loop.location, ir.InsertionPoint(loop):
        return [_fill(value) if _is_uniform(value) else value for value in loop.operands]


def _is_uniform(value: Any) -> bool:
    if not _is_constant(value) or prod(value.type.shape) < _MANY:
        return False
    return bool(getattr(value.owner.attributes["value"], "is_splat", False))


def _fill(value: Any) -> Any:
    import numpy as np
    from litert_converter.mlir import ir

    shape = ir.DenseElementsAttr.get(np.array(value.type.shape, np.int32))
    number = value.owner.attributes["value"].get_splat_value()
    one = ir.DenseElementsAttr.get_splat(ir.RankedTensorType.get([], value.type.element_type), number)
    operands = [_constant(shape), _constant(one)]
    return ir.Operation.create("tfl.fill", results=[value.type], operands=operands).result


def _constant(attribute: Any) -> Any:
    from litert_converter.mlir import ir

    return ir.Operation.create(_CONSTANT, results=[attribute.type], attributes={"value": attribute}).result


def _remove_unused_constants(operation: Any) -> None:
    """The exporter writes them into the file."""
    for inner in list(_inside(operation)):
        if inner.name in _WITHOUT_OPERANDS and not any(True for _ in inner.result.uses):
            inner.erase()


def _function(
    module: Any, block: Any, name: str, passed: list[Any], constants: Iterable[Any], returned: Iterable[Any]
) -> Any:
    """Takes what is ``passed`` behind the block's own arguments, and gives what is ``returned`` behind its results."""
    from litert_converter.mlir import ir
    from litert_converter.mlir.dialects import func

    given = [value.type for value in (*block.arguments, *passed)]
    results = [value.type for value in (*_yielded(block), *returned)]
    kind = ir.FunctionType.get(given, results)
    made = func.FuncOp(name, kind, visibility="private", ip=ir.InsertionPoint(module.body))
    values = dict(zip((*block.arguments, *passed), made.add_entry_block().arguments, strict=True))
    with ir.InsertionPoint(made.entry_block):
        _copy((value.owner for value in constants), values)
        _copy((inner.operation for inner in list(block.operations)[:-1]), values)
        func.ReturnOp([values[value] for value in (*_yielded(block), *returned)])
    return made


def _yielded(block: Any) -> list[Any]:
    return list(list(block.operations)[-1].operands)


def _copy(operations: Iterable[Any], values: dict[Any, Any]) -> None:
    """At the insertion point; ``values`` tells what stands for each operand, and learns the results."""
    for operation in operations:
        copied = operation.clone()
        for place, operand in enumerate(operation.operands):
            copied.operands[place] = values[operand]
        values.update(zip(operation.results, copied.results, strict=True))


def _replace(loop: Any, operands: list[Any], functions: list[Any]) -> None:
    """The loop by one whose regions only call."""
    from litert_converter.mlir import ir
    from litert_converter.mlir.dialects import func

    types = [operand.type for operand in operands]
    attributes = {name: loop.attributes[name] for name in loop.attributes}
    with loop.location, ir.InsertionPoint(loop):
        made = ir.Operation.create(_WHILE, types, operands, attributes=attributes, regions=2)
        for region, function in zip(made.regions, functions, strict=True):
            block = region.blocks.append(*types)
            with ir.InsertionPoint(block):
                call = func.CallOp(function, list(block.arguments))
                ir.Operation.create("tfl.yield", operands=list(call.results))
    for old, new in zip(loop.results, made.results, strict=False):
        old.replace_all_uses_with(new)
    loop.erase()
