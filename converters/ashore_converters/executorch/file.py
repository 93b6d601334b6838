"""Read a .pte file: tensors, operators, delegates and where its bytes go. No torch, no executorch.

Field numbers are those of executorch's ``program.fbs``.
"""

from __future__ import annotations

import mmap
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ashore.errors import ArtifactError
from ashore.types.conversion import Delegation, FileContents, UndelegatedOp
from ashore.types.tensor import DynamicDim, TensorSpec
from ashore_converters.executorch.xnnpack import Payload, read_payload
from ashore_converters.flatbuffer import Budget, Malformed, Table, root

_IDENTIFIER = b"ET12"
HEADER = struct.Struct("<4sIQQQ")
"""Behind the flatbuffer's own eight bytes: magic, length, program size, segments' offset, segments' size."""

_SMALLEST = 8 + HEADER.size

_DTYPES = {
    0: "uint8",
    1: "int8",
    2: "int16",
    3: "int32",
    4: "int64",
    5: "float16",
    6: "float32",
    7: "float64",
    11: "bool",
    15: "bfloat16",
    27: "uint16",
    28: "uint32",
    29: "uint64",
}
_TENSOR = 5
_KERNEL_CALL, _DELEGATE_CALL = 1, 2
_IN_SEGMENT = 1
_MOST_DIMENSIONS = 255
_SPEC_BYTES = 256
"""What the description of a dimension, or of a delegate, takes in memory."""


@dataclass(frozen=True)
class Program:
    """The flatbuffer's root, and the file behind it, whose segments begin at ``base``."""

    path: Path
    root: Table
    flatbuffer_bytes: int
    data: memoryview
    base: int = 0

    def segment(self, index: int) -> memoryview:
        entry = self.root.tables(4)[index]
        start, size = self.base + entry.u64(0), entry.u64(1)
        if start + size > len(self.data):
            raise Malformed(f"a segment of {size} bytes at byte {start} runs past the end at byte {len(self.data)}")
        return self.data[start : start + size]


@dataclass
class _Tally:
    ops: Counter[str] = field(default_factory=Counter)
    undelegated: Counter[str] = field(default_factory=Counter)
    delegated: int = 0
    partitions: int = 0


def read_contents(path: Path) -> FileContents:
    """Everything ``inspect`` tells of a .pte file.

    Raises:
        ArtifactError: the file cannot be read, is cut short, or is no .pte.
    """
    try:
        program = read_program(path)
        plan = _forward(program)
        payloads = _payloads(program, plan)
        tally = _count(plan, payloads)
        return FileContents(
            inputs=_tensors(plan, 3, "input"),
            outputs=_tensors(plan, 4, "output"),
            ops=dict(tally.ops.most_common()),
            delegation=_delegation(tally),
            bytes_by_part=_bytes_by_part(program, plan, payloads),
        )
    except (Malformed, struct.error, IndexError) as error:
        raise ArtifactError(
            f"{path} is damaged: {error}", "restore it from where it was made, or convert the model again"
        ) from error


def read_program(path: Path) -> Program:
    """The file mapped into memory, its header read. Raises ArtifactError as ``read_contents`` does, and Malformed."""
    return _parse(path, _load(path))


def _load(path: Path) -> memoryview:
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except ValueError as error:  # mmap refuses an empty file
        raise ArtifactError(f"{path} is empty", "copy or download it again, or convert the model again") from error
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}", "check the path and its permissions") from error
    if len(data) < _SMALLEST or data[4:8] != _IDENTIFIER:
        found = bytes(data[4:8]).decode("ascii", "replace")
        raise ArtifactError(
            f"{path} is not an ExecuTorch program: expected the mark {_IDENTIFIER.decode()} at byte 4, found {found!r}",
            "give a .pte file, as `ashore convert --to executorch` writes",
        )
    return data


def _parse(path: Path, data: memoryview) -> Program:
    magic, length, program_bytes, base, segment_bytes = HEADER.unpack_from(data, 8)
    if magic != b"eh00":
        return Program(path, root(data, Budget(len(data))), len(data), data)
    if length < HEADER.size:  # before segments' size was recorded
        segment_bytes = 0
    needed = max(program_bytes, base + segment_bytes)
    if needed > len(data):
        raise ArtifactError(
            f"{path} is cut short: its header tells of {needed} bytes and {len(data)} are there",
            "copy or download it again, or convert the model again",
        )
    program = Program(path, root(data[:program_bytes], Budget(len(data))), program_bytes, data, base)
    for index in range(len(program.root.tables(4))):
        program.segment(index)
    return program


def _forward(program: Program) -> Table:
    plans = program.root.tables(1)
    forward = next((plan for plan in plans if plan.string(0) == "forward"), None)
    if forward is None:
        names = ", ".join(plans[index].string(0)[:40] for index in range(min(len(plans), 8))) or "none"
        raise ArtifactError(
            f"{program.path} has no method 'forward'; its methods: {names}",
            "ashore runs the method 'forward'; export the model under that name",
        )
    return forward


def _tensors(plan: Table, field_number: int, kind: str) -> tuple[TensorSpec, ...]:
    values, places = plan.tables(2), plan.ints(field_number)
    return tuple(_tensor(values[place], f"{kind}_{i}" if len(places) > 1 else kind) for i, place in enumerate(places))


def _tensor(value: Table, name: str) -> TensorSpec:
    tensor = value.table(1)
    if value.u8(0) != _TENSOR or tensor is None:
        return TensorSpec(name, (), "scalar")
    shape = tensor.ints(2)
    if len(shape) > _MOST_DIMENSIONS:
        raise Malformed(f"{name} has {len(shape)} dimensions")
    tensor.budget.spend(_SPEC_BYTES * len(shape))
    # The file says that a tensor's shape varies up to this one, not along which axis.
    bounded = {axis: DynamicDim(f"{name}_{axis}", 1, size) for axis, size in enumerate(shape)} if tensor.i8(9) else {}
    return TensorSpec(name, shape, _DTYPES.get(tensor.i8(0), f"type {tensor.i8(0)}"), dynamic=bounded)


def _payloads(program: Program, plan: Table) -> list[Payload]:
    plan.budget.spend(_SPEC_BYTES * len(plan.tables(7)))
    return [
        read_payload(delegate.string(0), _delegate_data(program, delegate), plan.budget) for delegate in plan.tables(7)
    ]


def _delegate_data(program: Program, delegate: Table) -> memoryview:
    reference = delegate.table(1)
    if reference is None:
        return memoryview(b"")
    index = reference.u32(1)
    if reference.i8(0) == _IN_SEGMENT:
        return program.segment(index)
    return program.root.tables(3)[index].bytes(0)


def _count(plan: Table, payloads: list[Payload]) -> _Tally:
    tally, operators = _Tally(), plan.tables(6)
    for instruction in (item for chain in plan.tables(5) for item in chain.tables(2)):
        kind, call = instruction.u8(0), instruction.table(1)
        if call is None:
            continue
        if kind == _KERNEL_CALL:
            name = _operator_name(operators[call.u32(0)])
            tally.ops[name] += 1
            tally.undelegated[name] += 1
        elif kind == _DELEGATE_CALL:
            payload = payloads[call.u32(0)]
            tally.ops.update(payload.ops)
            tally.delegated += payload.ops.total()
            tally.partitions += 1
    return tally


def _operator_name(operator: Table) -> str:
    name, overload = operator.string(0), operator.string(1)
    return f"{name}.{overload}" if overload else name


def _delegation(tally: _Tally) -> Delegation:
    outside = tuple(UndelegatedOp(op, count) for op, count in tally.undelegated.most_common())
    return Delegation(tally.delegated, tally.delegated + tally.undelegated.total(), tally.partitions, outside)


def _bytes_by_part(program: Program, plan: Table, payloads: list[Payload]) -> dict[str, int]:
    """Of the whole file; ``padding`` is what alignment leaves between the parts."""
    parts = {"program": program.flatbuffer_bytes}
    constants = program.root.table(5)
    if constants is not None and constants.length(1) and len(program.root.tables(4)):
        parts["constants"] = len(program.segment(constants.u32(0)))
    for index, payload in enumerate(payloads):
        parts[f"delegate {index} ({payload.backend})"] = payload.bytes
    named = {entry.u32(1) for entry in program.root.tables(7)}
    if named:
        parts["delegates' constants"] = sum(len(program.segment(index)) for index in named - _inside_constants(program))
    counted = sum(parts.values()) - _inline_delegate_bytes(program, plan)
    parts["padding and other"] = max(0, len(program.data) - counted)
    return {part: size for part, size in parts.items() if size}


def _inside_constants(program: Program) -> set[int]:
    """Segments of a weight that is held once, for the program and for its delegate."""
    constants, segments = program.root.table(5), program.root.tables(4)
    if constants is None or not len(segments):
        return set()
    own = constants.u32(0)
    begin, end = segments[own].u64(0), segments[own].u64(0) + segments[own].u64(1)
    return {
        index
        for index, segment in enumerate(segments)
        if index != own and begin <= segment.u64(0) and segment.u64(0) + segment.u64(1) <= end
    }


def _inline_delegate_bytes(program: Program, plan: Table) -> int:
    """Delegates inside of the flatbuffer are counted with it already."""
    references = [delegate.table(1) for delegate in plan.tables(7)]
    inline = {reference.u32(1) for reference in references if reference and reference.i8(0) != _IN_SEGMENT}
    return sum(program.root.tables(3)[index].length(0) for index in inline)
