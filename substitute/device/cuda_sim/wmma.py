"""Builders of wmma: tiles of matrices in fragments of unspecified layout.

The layout here is our own: a tile's elements are consecutive over the lanes, and repeat from the start where a fragment
has more elements. Source: PTX ISA 9.7.14.4 "Matrix multiply-accumulate operation using wmma".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...payload.ptx.syntax import Instruction, Integer
from .batch import Batch
from .decode import Builder, Decoder, Run
from .faults import Place, Refused
from .matrix import add_to, elements, shape_of, whole_warps
from .memory_access import load, store
from .modifiers import note
from .movement import space_of
from .types import DTYPES, Array, Read, Registers

_BYTES = {"f16": 2, "bf16": 2, "tf32": 4, "s8": 1, "u8": 1, "f32": 4, "s32": 4, "f64": 8}
_SUMS = {
    "f16": ("f16", "f32"),
    "bf16": ("f32",),
    "tf32": ("f32",),
    "s8": ("s32",),
    "u8": ("s32",),
    "f64": ("f64",),
}


def _wmma(d: Decoder, i: Instruction) -> Run:
    kind = i.opcode[1]
    if kind == "load":
        return _load(d, i)
    if kind == "store":
        return _store(d, i)
    if kind == "mma":
        return _multiply(d, i)
    raise Refused(".".join(i.opcode))


def _tile(i: Instruction, matrix: str) -> tuple[int, int]:
    rows, columns, depth = shape_of(i)
    return {"a": (rows, depth), "b": (depth, columns)}.get(matrix, (rows, columns))


def _fragment(i: Instruction, matrix: str, type_: str, registers: int) -> tuple[int, int, bool]:
    """Return (elements of a lane, elements of a register, whether rows are contiguous). Raises `Refused`."""
    size = _BYTES.get(type_)
    if size is None:
        raise Refused(".".join(i.opcode))
    each = max(1, 4 // size)
    rows, columns = _tile(i, matrix)
    by_row = "row" in i.opcode
    if by_row == ("col" in i.opcode) or registers * each * 32 < rows * columns:
        raise Refused(f"{'.'.join(i.opcode)} with {registers} registers")
    note(i.opcode, (type_,))
    return registers * each, each, by_row


def _offsets(
    m: Batch, r: Registers, i: Instruction, matrix: str, count: int, by_row: bool, stride: Read | None
) -> Array:
    """Return offsets counted in elements from the tile's first, [active lanes, elements of a lane]."""
    rows, columns = _tile(i, matrix)
    at = (m.warps.column[:, None] * count + np.arange(count)) % (rows * columns)
    row, column = at // columns, at % columns
    leading = np.int64(columns if by_row else rows)
    step = leading if stride is None else np.broadcast_to(stride(r), (m.count,)).astype(np.int64)[:, None]
    offset: Array = row * step + column if by_row else column * step + row
    return offset


@dataclass(frozen=True, slots=True, kw_only=True)
class _Access:
    """A tile in memory, and the number of its elements that a lane holds."""

    instruction: Instruction
    matrix: str
    space: str
    address: Read
    stride: Read | None
    count: int
    by_row: bool
    size: int
    """Bytes of an element."""
    guard: Read | None
    place: Place

    def lanes(self, m: Batch, r: Registers) -> tuple[Array | None, Array | None, list[Array]] | None:
        """Return the participating lanes, their positions, and the address of each element; None if no lane takes
        part.
        """
        keep = None if self.guard is None else self.guard(r)
        if keep is not None and not keep.any():
            return None
        whole_warps(m, self.place, keep)
        offsets = _offsets(m, r, self.instruction, self.matrix, self.count, self.by_row, self.stride)
        base = np.broadcast_to(self.address(r), (m.count,))
        where = None if keep is None else np.flatnonzero(np.broadcast_to(keep, (m.count,)))
        return keep, where, [base + offsets[:, n] * self.size for n in range(self.count)]


def _access(d: Decoder, i: Instruction, matrix: str, at: int, registers: int) -> tuple[_Access, int]:
    """Return the access of a load or a store whose address is operand `at`, and the number of elements in a
    register.
    """
    type_ = i.opcode[-1]
    address, location = d.address(i.operands[at])
    count, each, by_row = _fragment(i, matrix, type_, registers)
    d.step.members = d.read(Integer(0xFFFFFFFF), "u32")
    d.smallest_shared_access = min(d.smallest_shared_access, _BYTES[type_])
    access = _Access(
        instruction=i,
        matrix=matrix,
        space=space_of(i.opcode[1:], location),
        address=address,
        stride=d.read(i.operands[2], "u32") if len(i.operands) > 2 else None,
        count=count,
        by_row=by_row,
        size=_BYTES[type_],
        guard=d.guard,
        place=d.place,
    )
    return access, each


def _load(d: Decoder, i: Instruction) -> Run:
    targets = d.elements(i.operands[0])
    access, each = _access(d, i, i.opcode[2], 1, len(targets))
    held = "b64" if i.opcode[-1] == "f64" else "b32"
    puts = [d.put(target, held) for target in targets]

    def run(m: Batch, r: Registers) -> None:
        lanes = access.lanes(m, r)
        if lanes is None:
            return
        keep, where, addresses = lanes
        parts = np.zeros((m.count, access.count, access.size), np.uint8)
        for n, address in enumerate(addresses):
            data = load(m, access.place, access.space, address, access.size, where)
            parts[slice(None) if where is None else where, n] = data
        words = parts.reshape(m.count, len(puts), each * access.size).view(DTYPES[held])[:, :, 0]
        for number, put in enumerate(puts):
            put(r, np.ascontiguousarray(words[:, number]), keep)

    return run


def _store(d: Decoder, i: Instruction) -> Run:
    if i.opcode[2] != "d":
        raise Refused(".".join(i.opcode))
    sources = d.elements(i.operands[1])
    access, _ = _access(d, i, "d", 0, len(sources))
    held = "b64" if i.opcode[-1] == "f64" else "b32"
    reads = [d.read(source, held) for source in sources]

    def run(m: Batch, r: Registers) -> None:
        lanes = access.lanes(m, r)
        if lanes is None:
            return
        _, where, addresses = lanes
        words = np.stack([np.broadcast_to(read(r), (m.count,)) for read in reads], axis=1)
        parts = np.ascontiguousarray(words).view(np.uint8).reshape(m.count, access.count, access.size)
        for n, address in enumerate(addresses):
            data = parts[:, n] if where is None else parts[where, n]
            store(m, access.place, access.space, address, np.ascontiguousarray(data), access.size, where)

    return run


def _multiply(d: Decoder, i: Instruction) -> Run:
    words = [word for word in i.opcode[2:] if word not in ("sync", "aligned", "satfinite", "rn")]
    types = words[3:]
    if len(types) == 2:  # for f16 only the results' types are named
        types = [types[0], "f16", "f16", types[1]]
    if len(types) != 4 or not {words[0], words[1]} <= {"row", "col"}:
        raise Refused(".".join(i.opcode))
    result, a_type, b_type, c_type = types
    if a_type != b_type or result not in _SUMS.get(a_type, ()) or c_type not in _SUMS[a_type]:
        raise Refused(".".join(i.opcode))
    note(i.opcode, (*words, "rn"))
    satfinite = "satfinite" in i.opcode
    if satfinite and result != "s32":
        raise Refused(".".join(i.opcode))
    held = "b64" if a_type == "f64" else "b32"
    puts = [d.put(part, held) for part in d.elements(i.operands[0])]
    a, b, c = ([d.read(part, held) for part in d.elements(operand)] for operand in i.operands[1:])
    d.step.members = d.read(Integer(0xFFFFFFFF), "u32")
    guard, place = d.guard, d.place

    def run(m: Batch, r: Registers) -> None:
        keep = whole_warps(m, place, None if guard is None else guard(r))
        left, right = _collect(m, r, a, i, "a", a_type), _collect(m, r, b, i, "b", b_type)
        product = np.matmul(left, right).reshape(len(left), -1)
        before = _collect(m, r, c, i, "d", c_type).reshape(len(left), -1)
        total = np.ascontiguousarray(add_to(product, before, result, satfinite=satfinite))
        registers = total.view(DTYPES[held]).reshape(len(left), 32, len(puts))
        for number, put in enumerate(puts):
            put(r, m.warps.collect(np.ascontiguousarray(registers[:, :, number])), keep)

    return run


def _collect(m: Batch, r: Registers, reads: Sequence[Read], i: Instruction, matrix: str, type_: str) -> Array:
    """Return a fragment as [W, rows, columns]."""
    rows, columns = _tile(i, matrix)
    spread = [np.ascontiguousarray(m.warps.spread(read(r), m.count)) for read in reads]
    if type_ in ("f32", "s32"):
        values = np.stack([part.view(DTYPES[type_]) for part in spread], axis=2)
    else:
        values = np.concatenate([elements(part, type_) for part in spread], axis=2)
    tile: Array = values.reshape(values.shape[0], -1)[:, : rows * columns].reshape(-1, rows, columns)
    return tile


BUILDERS: dict[str, Builder] = {"wmma": _wmma}
