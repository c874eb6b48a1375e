"""Builders of mma.sync, ldmatrix, stmatrix and movmatrix.

A register of a fragment holds E elements along k; lane (g, t) = (lane / 4, lane % 4) has row g of its 8-row part and
elements t·E … t·E + E - 1 of its 4·E columns. So it is for every shape but Volta's m8n8k4. Products are exact; sums are
made in float32 (float64 for f64 and integers), in an order that a device does not keep to. Source: PTX ISA 9.7.14.5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ...payload.ptx.syntax import Instruction, Integer, Register
from .batch import Batch
from .decode import Builder, Decoder, Run
from .faults import Place, Refused
from .floating import canonical
from .integer import saturate
from .memory_access import load, store
from .modifiers import note
from .movement import space_of
from .types import DTYPES, Array, Read, Registers, widen
from .unwritten import UnwrittenBytes, hold

_SHAPE = re.compile(r"m(\d+)n(\d+)k(\d+)")
_BITS = {
    "f16": 16,
    "bf16": 16,
    "tf32": 32,
    "e4m3": 8,
    "e5m2": 8,
    "s8": 8,
    "u8": 8,
    "s4": 4,
    "u4": 4,
    "f64": 64,
}
INTEGERS = ("s8", "u8", "s4", "u4")
_KNOWN = {
    ("f16", 8, 8),
    ("f16", 8, 16),
    ("bf16", 8, 8),
    ("bf16", 8, 16),
    ("tf32", 8, 4),
    ("tf32", 8, 8),
    ("e4m3", 8, 32),
    ("e5m2", 8, 32),
    ("e4m3", 8, 16),
    ("e5m2", 8, 16),
    *((t, 8, k) for t in ("s8", "u8") for k in (16, 32)),
    *((t, 8, k) for t in ("s4", "u4") for k in (32, 64)),
    *(("f64", 8, k) for k in (4, 8, 16)),
}


def elements(register: Array, type_: str) -> Array:
    """Return the exact values of registers: [..., lanes] → [..., lanes, E]."""
    if type_ == "f64":
        doubles: Array = np.ascontiguousarray(register).view(np.float64)
        return np.expand_dims(doubles, -1)
    raw = np.ascontiguousarray(register)
    if type_ in ("s4", "u4"):
        nibbles = (raw[..., None] >> (np.uint32(4) * np.arange(8, dtype=np.uint32))) & np.uint32(15)
        values: Array = nibbles.astype(np.float64)
        return np.where(values > 7, values - 16, values) if type_ == "s4" else values
    dtype = DTYPES[type_]
    parts = raw.view(dtype).reshape(*raw.shape, 4 // dtype.itemsize)
    if type_ not in INTEGERS:
        return widen(parts, type_)
    whole: Array = parts.astype(np.float64)
    return whole


def from_fragments(registers: Sequence[Array], type_: str, rows: int) -> Array:
    """Return [W, rows, K] from registers [W, 32] in the order of the ISA; `rows` is 8 or 16."""
    parts = rows // 8
    warps = registers[0].shape[0]
    raw = np.empty((warps, parts, 8, len(registers) // parts, 4), registers[0].dtype)
    for number, register in enumerate(registers):
        raw[:, number % parts, :, number // parts] = register.reshape(warps, 8, 4)
    return elements(raw, type_).reshape(warps, rows, -1)


def shape_of(i: Instruction) -> tuple[int, int, int]:
    """Return M, N, K of the opcode. Raises `Refused`."""
    found = next((match for word in i.opcode if (match := _SHAPE.fullmatch(word))), None)
    if found is None:
        raise Refused(".".join(i.opcode))
    note(i.opcode, (found[0],))
    return int(found[1]), int(found[2]), int(found[3])


def _mma(d: Decoder, i: Instruction) -> Run:
    rows, columns, depth = shape_of(i)
    # .satfinite may follow the types as well
    words = [word for word in i.opcode[1:] if word != "satfinite"]
    types = words[-4:]
    result, a_type, b_type, c_type = types
    note(i.opcode, types)
    known = {"sync", "aligned", "row", "col", "kind::f8f6f4", f"m{rows}n{columns}k{depth}"}
    if set(words[:-4]) - known or "row" not in i.opcode or "col" not in i.opcode:
        raise Refused(".".join(i.opcode))
    if (a_type, columns, depth) not in _KNOWN or b_type not in _BITS or rows not in (8, 16):
        raise Refused(".".join(i.opcode))
    if rows == 8 and a_type not in (*INTEGERS, "f64"):
        raise Refused(".".join(i.opcode))
    bits = "b64" if a_type == "f64" else "b32"
    a = [d.read(part, bits) for part in d.elements(i.operands[1])]
    b = [d.read(part, bits) for part in d.elements(i.operands[2])]
    per_register = max(32, _BITS[a_type]) // _BITS[a_type] * 4
    if len(a) != rows // 8 * depth // per_register or len(b) != depth // per_register:
        raise Refused(f"{'.'.join(i.opcode)} with {len(a)} and {len(b)} registers")
    targets = d.elements(i.operands[0])
    packed = result == "f16"
    held = "b32" if packed else result
    puts = [d.put(part, held) for part in targets]
    c = [d.read(part, "b32" if c_type == "f16" else c_type) for part in d.elements(i.operands[3])]
    d.step.members = d.read(Integer(0xFFFFFFFF), "u32")
    guard, place = d.guard, d.place
    satfinite = "satfinite" in i.opcode
    if satfinite and result != "s32":
        raise Refused(".".join(i.opcode))

    def run(m: Batch, r: Registers) -> None:
        keep = whole_warps(m, place, None if guard is None else guard(r))
        left = from_fragments(_spread(m, a, r), a_type, rows)
        right = from_fragments(_spread(m, b, r), b_type, 8)
        product = np.matmul(left, right.transpose(0, 2, 1)).reshape(len(left), rows // 8, 8, 4, 2)
        old = [m.warps.spread(read(r), m.count) for read in c]
        for put, value in zip(puts, accumulate(product, old, result, c_type, satfinite=satfinite), strict=True):
            put(r, m.warps.collect(value), keep)

    return run


def _spread(m: Batch, reads: list[Read], r: Registers) -> list[Array]:
    return [m.warps.spread(read(r), m.count) for read in reads]


def accumulate(product: Array, old: list[Array], result: str, c_type: str, *, satfinite: bool) -> list[Array]:
    """Return the result's registers, [W, 32] each, from a product [W, row parts, 8, 4, 2]."""
    count, halves = product.shape[0], product.shape[1]
    out = []
    if result == "f16":
        for half in range(halves):
            before = np.ascontiguousarray(old[half]).view(np.float16).reshape(count, 8, 4, 2).astype(np.float32)
            total = canonical((product[:, half] + before).astype(np.float16))
            out.append(np.ascontiguousarray(total).reshape(count, 32, 2).view(np.uint32).reshape(count, 32))
        return out
    for half in range(halves):
        for column in range(2):
            part = product[:, half, :, :, column].reshape(count, 32)
            if c_type == "f16":
                pair = np.ascontiguousarray(old[half]).view(np.float16).reshape(count, 32, 2)
                before = pair[:, :, column].astype(np.float32)
            else:
                before = old[2 * half + column]
            out.append(add_to(part, before, result, satfinite=satfinite))
    return out


def add_to(part: Array, before: Array, result: str, *, satfinite: bool) -> Array:
    """Return one register: the sum of products and of the accumulator."""
    if result == "s32":
        total = part.astype(np.int64) + before
        return saturate(total, np.dtype(np.int32)) if satfinite else total.astype(np.int32)
    dtype = DTYPES[result]
    whole: Array = (part + before).astype(dtype)
    return canonical(whole) if result != "f64" else whole


def whole_warps(m: Batch, place: Place, keep: Array | None) -> Array | None:
    """Report a warp-wide instruction that only some lanes of a warp execute."""
    if keep is None and m.warps.full:
        return None
    taken = m.warps.present
    if keep is not None:
        taken = taken & m.warps.spread(np.broadcast_to(keep, (m.count,)), m.count, False)
    some = taken.any(axis=1)
    broken = some & ~taken.all(axis=1)
    if broken.any():
        row = int(broken.argmax())
        lane = int(m.chosen(None)[int((m.warps.row == row).argmax())])
        words = f"all 32 lanes of a warp must execute this together; {int(taken[row].sum())} do"
        m.fault("warp", place, lane, words, count=int(broken.sum()))
    return keep


# -- ldmatrix, stmatrix ---------------------------------------------------------------------------------------------
def _matrix_words(i: Instruction) -> tuple[int, bool]:
    """Return (matrices, transposed). Raises `Refused`."""
    counts = [int(word[1]) for word in i.opcode if word in ("x1", "x2", "x4")]
    note(i.opcode, ("b16",))
    if "m8n8" not in i.opcode or i.opcode[-1] != "b16" or not counts:
        raise Refused(".".join(i.opcode))
    return counts[0], "trans" in i.opcode


def _load_matrix(d: Decoder, i: Instruction) -> Run:
    count, transposed = _matrix_words(i)
    address, location = d.address(i.operands[1])
    space = space_of(i.opcode[1:], location)
    puts = [d.put(part, "b32") for part in d.elements(i.operands[0])]
    if len(puts) != count:
        raise Refused(f"{'.'.join(i.opcode)} with {len(puts)} registers")
    d.step.members = d.read(Integer(0xFFFFFFFF), "u32")
    guard, place = d.guard, d.place
    d.note_load(space)
    slots = [d.slot(part) if isinstance(part, Register) else None for part in d.elements(i.operands[0])]

    def run(m: Batch, r: Registers) -> None:
        keep = None if guard is None else guard(r)
        if keep is not None and not keep.any():
            return
        whole_warps(m, place, keep)
        warps = m.warps
        m.deferred = []
        if keep is None and warps.full and count == 4:
            rows = np.broadcast_to(load(m, place, space, address(r), 16, None), (m.count, 16)).reshape(-1, 32, 16)
        else:
            gives = warps.column < 8 * count
            if keep is not None:
                gives = gives & keep
            where = np.flatnonzero(gives)
            rows = np.zeros((len(warps.rows), 8 * count, 16), np.uint8)
            rows[warps.row[where], warps.column[where]] = load(m, place, space, address(r), 16, where)
        halves = rows.view(np.uint16)
        for number, put in enumerate(puts):
            matrix = halves[:, 8 * number : 8 * number + 8]
            if transposed:
                matrix = matrix.transpose(0, 2, 1)
            words = np.ascontiguousarray(matrix).reshape(-1, 32, 2).view(np.uint32).reshape(-1, 32)
            put(r, warps.collect(words), keep)
        found, m.deferred = m.deferred, None
        for one in found:
            _hold_rows(m, one, slots, place, transposed=transposed)

    return run


def _hold_rows(m: Batch, found: UnwrittenBytes, slots: list[int | None], place: Place, *, transposed: bool) -> None:
    """Mark unwritten rows of matrices in the lanes that they are distributed to."""
    warps, active = m.warps, m.chosen(None)
    marks = np.zeros((len(warps.rows), 32, 8), bool)
    at = np.searchsorted(active, found.lanes)
    marks[warps.row[at], warps.column[at]] = found.marks.reshape(-1, 8, 2).any(axis=2)
    for number, slot in enumerate(slots):
        matrix = marks[:, 8 * number : 8 * number + 8]
        matrix = matrix.transpose(0, 2, 1) if transposed else matrix
        bad = np.asarray(matrix.reshape(-1, 32, 2).any(axis=2))
        if slot is not None:
            hold(m, slot, active[bad[warps.row, warps.column]], found, place.line)


def _store_matrix(d: Decoder, i: Instruction) -> Run:
    count, transposed = _matrix_words(i)
    address, location = d.address(i.operands[0])
    space = space_of(i.opcode[1:], location)
    reads = [d.read(part, "b32") for part in d.elements(i.operands[1])]
    if len(reads) != count:
        raise Refused(f"{'.'.join(i.opcode)} with {len(reads)} registers")
    d.step.members = d.read(Integer(0xFFFFFFFF), "u32")
    guard, place = d.guard, d.place

    def run(m: Batch, r: Registers) -> None:
        keep = None if guard is None else guard(r)
        if keep is not None and not keep.any():
            return
        whole_warps(m, place, keep)
        warps = m.warps
        rows = np.zeros((len(warps.rows), 8 * count, 8), np.uint16)
        for number, read in enumerate(reads):
            words = np.ascontiguousarray(warps.spread(read(r), m.count))
            matrix = words.view(np.uint16).reshape(-1, 8, 8)
            rows[:, 8 * number : 8 * number + 8] = matrix.transpose(0, 2, 1) if transposed else matrix
        gives = warps.column < 8 * count
        if keep is not None:
            gives = gives & keep
        where = np.flatnonzero(gives)
        data = np.ascontiguousarray(rows[warps.row[where], warps.column[where]]).view(np.uint8)
        store(m, place, space, address(r), data, 16, where)

    return run


def _move_matrix(d: Decoder, i: Instruction) -> Run:
    """Build movmatrix: an 8×8 matrix in registers, transposed."""
    read, put = d.read(i.operands[1], "b32"), d.put(i.operands[0], "b32")
    d.step.members = d.read(Integer(0xFFFFFFFF), "u32")
    guard, place = d.guard, d.place

    def run(m: Batch, r: Registers) -> None:
        keep = whole_warps(m, place, None if guard is None else guard(r))
        words = np.ascontiguousarray(m.warps.spread(read(r), m.count))
        turned = np.ascontiguousarray(words.view(np.uint16).reshape(-1, 8, 8).transpose(0, 2, 1))
        put(r, m.warps.collect(turned.reshape(-1, 32, 2).view(np.uint32).reshape(-1, 32)), keep)

    return run


BUILDERS: dict[str, Builder] = {
    "mma": _mma,
    "ldmatrix": _load_matrix,
    "stmatrix": _store_matrix,
    "movmatrix": _move_matrix,
}
