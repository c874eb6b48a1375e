"""Builders of mov, ld, st, cvta and other moves of data.

Source: PTX ISA 9.7.9 "Data Movement and Conversion Instructions".
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...payload.ptx.syntax import Address, Instruction, Operand, Register, Sink, SpecialRegister, Symbol, Vector
from .batch import LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW, WINDOW_BYTES, Batch
from .decode import Builder, Decoder, Run
from .faults import Refused
from .layout import Location
from .memory_access import load, store
from .modifiers import note, split
from .races import publish
from .types import DTYPES, Array, Registers, bits_of, resize
from .unwritten import hold

WINDOWS = {"shared": SHARED_WINDOW, "local": LOCAL_WINDOW, "param": PARAM_WINDOW, "global": 0, "const": 0}
_SPACES = ("global", "shared", "local", "const", "param")
_HARMLESS = {
    "volatile",
    "relaxed",
    "acquire",
    "release",
    "weak",
    "mmio",
    "cta",
    "gpu",
    "sys",
    "ca",
    "cg",
    "cs",
    "lu",
    "cv",
    "wb",
    "wt",
    "nc",
    "L1::evict_normal",
    "L1::evict_unchanged",
    "L1::evict_first",
    "L1::evict_last",
    "L1::no_allocate",
    "L2::64B",
    "L2::128B",
    "L2::256B",
    "unified",
    "L2::evict_first",
    "L2::evict_last",
    "L2::evict_normal",
    "L2::cache_hint",
    "func",
    "entry",
}
"""Caches and memory order: the simulated memory is sequential."""
_STRONG = {"volatile", "relaxed", "acquire", "release", "mmio", "cv", "wt"}
"""Accesses that may race with others of their kind without a barrier (PTX ISA 8.3 "morally strong")."""


def space_of(words: tuple[str, ...], location: Location | None) -> str:
    """Return the space that an opcode names, or that of the variable in the address; else generic."""
    for word in words:
        base, _, sub = word.partition("::")
        if base in _SPACES:
            if sub == "cluster" and base == "shared":
                return "shared"
            return _memory_of(location.space if base == "param" and location is not None else base)
    return _memory_of(location.space) if location is not None else "generic"


def _memory_of(space: str) -> str:
    """Return the memory of a space; constants are in device memory too."""
    return "global" if space == "const" else space


def _parts(i: Instruction) -> tuple[int, str]:
    """Return elements and type of a load or a store. Raises `Refused`."""
    type_, vector = i.opcode[-1], 1
    for word in i.opcode[1:-1]:
        base = word.partition("::")[0]
        if word in ("v2", "v4", "v8"):
            vector = int(word[1])
        elif word not in _HARMLESS and base not in _SPACES:
            if word in ("cluster",):
                raise Refused("clusters (.cluster)")
            raise Refused(f"{i.opcode[0]}.{word}")
    if type_ not in DTYPES or type_ == "pred":
        raise Refused(".".join(i.opcode))
    return vector, type_


def _load(d: Decoder, i: Instruction) -> Run:
    vector, type_ = _parts(i)
    address, location = d.address(i.operands[1])
    space = space_of(i.opcode[1:], location)
    dtype = DTYPES[type_]
    size = dtype.itemsize * vector
    strong = not _STRONG.isdisjoint(i.opcode)
    if space in ("shared", "generic"):
        d.smallest_shared_access = min(d.smallest_shared_access, size)
    if space in ("global", "generic"):
        d.smallest_global_access = min(d.smallest_global_access, size)
        d.step.awaits = strong
    if space == "param" and location is not None and isinstance(i.operands[1], Address):
        d.step.parameter = (location.offset + i.operands[1].offset, size)
    else:
        d.step.loads_pointer = size >= 8
    targets = d.elements(i.operands[0])
    if len(targets) != vector:
        raise Refused(f"{'.'.join(i.opcode)} with {len(targets)} destinations")
    puts = [d.put_some(target, type_) for target in targets]
    guard, place = d.guard, d.place
    d.note_load(space)
    follows = d.step.loads_early and size <= 16
    slots = [d.slot(target) if isinstance(target, Register) else None for target in targets]

    def run(m: Batch, r: Registers) -> None:
        where, some = m.select(None if guard is None else guard(r))
        if not some:
            return
        m.deferred = [] if follows else None
        data = load(m, place, space, address(r), size, where, strong=strong)
        if vector == 1:
            puts[0](r, data.reshape(-1).view(dtype), where, m.count)
        else:
            rows = np.ascontiguousarray(data.view(dtype).T)
            for put, row in zip(puts, rows, strict=True):
                put(r, row, where, m.count)
        for found in m.deferred or ():
            marks = np.asarray(found.marks.reshape(-1, vector, dtype.itemsize).any(axis=2))
            for slot, bad in zip(slots, marks.T, strict=True):
                if slot is not None:
                    hold(m, slot, found.lanes[bad], found, place.line)
        m.deferred = None

    return run


def _store(d: Decoder, i: Instruction) -> Run:
    vector, type_ = _parts(i)
    address, location = d.address(i.operands[0])
    space = space_of(i.opcode[1:], location)
    dtype = DTYPES[type_]
    size = dtype.itemsize * vector
    d.note_store(space, size)
    if space in ("shared", "generic"):
        d.smallest_shared_access = min(d.smallest_shared_access, size)
    sources = d.elements(i.operands[1])
    if len(sources) != vector or any(isinstance(source, Sink) for source in sources):
        raise Refused(f"{'.'.join(i.opcode)} with {len(sources)} sources")
    reads = [d.read(source, type_) for source in sources]
    guard, place = d.guard, d.place
    strong = not _STRONG.isdisjoint(i.opcode)
    releases, device = "release" in i.opcode, "cta" not in i.opcode

    def run(m: Batch, r: Registers) -> None:
        where, some = m.select(None if guard is None else guard(r))
        if not some:
            return
        if releases:
            publish(m, where, device=device)
        values = [read(r) for read in reads]
        if where is not None:
            values = [value if value.shape[0] == 1 else value[where] for value in values]
        store(m, place, space, address(r), join(values), size, where, strong=strong)

    return run


def join(values: list[Array]) -> Array:
    """Return elements of a vector as bytes, [1 or n, bytes]."""
    if len(values) == 1:
        value = np.ascontiguousarray(values[0])
        return value.view(np.uint8).reshape(len(value), -1)
    count = max(value.shape[0] for value in values)
    out = np.empty((count, len(values)), values[0].dtype)
    for column, value in enumerate(values):
        out[:, column] = value
    return out.view(np.uint8).reshape(count, -1)


def _move(d: Decoder, i: Instruction) -> Run:
    if len(i.opcode) == 3 and i.opcode[1] in ("v2", "v4", "v8"):
        parts = [operand for operand in i.operands if isinstance(operand, Vector)]
        if len(parts) != 2 or {len(part.elements) for part in parts} != {int(i.opcode[1][1])}:
            raise Refused(f"{'.'.join(i.opcode)} with these operands")
        note(i.opcode, i.opcode)
        return _move_each(d, *parts)
    if len(i.opcode) != 2 or i.opcode[1] not in DTYPES:
        raise Refused(".".join(i.opcode))
    type_ = i.opcode[1]
    target, source = i.operands
    if isinstance(target, Vector):
        return _unpack(d, target, source, type_) if not isinstance(source, Vector) else _move_each(d, target, source)
    if isinstance(source, Vector):
        return _assemble(d, target, source, type_)
    read = d.read(source, type_)
    if isinstance(source, Register):
        d.step.copies = (d.slot(source),)
    if isinstance(source, SpecialRegister) and source.name.startswith(("%clock", "%globaltimer")):
        return _clock(d, target, type_)
    return d.pure(target, type_, read)


def _clock(d: Decoder, target: Operand, type_: str) -> Run:
    """Build a read of a clock, which is the count of warp instructions."""
    put, guard = d.put(target, type_), d.guard
    dtype = DTYPES[type_]

    def run(m: Batch, r: Registers) -> None:
        now = np.array([m.steps], np.uint64).astype(f"u{dtype.itemsize}").view(dtype)
        put(r, now, None if guard is None else guard(r))

    return run


def _move_each(d: Decoder, target: Vector, source: Vector) -> Run:
    pairs = list(zip(target.elements, source.elements, strict=True))
    types = [t.type if isinstance(t, Register) else "b32" for t, _ in pairs]
    reads = [d.read(s, type_) for (_, s), type_ in zip(pairs, types, strict=True)]
    puts = [d.put(t, type_) for (t, _), type_ in zip(pairs, types, strict=True)]
    guard = d.guard

    def run(m: Batch, r: Registers) -> None:
        keep = None if guard is None else guard(r)
        for put, value in zip(puts, [read(r) for read in reads], strict=True):
            put(r, value, keep)

    return run


def _unpack(d: Decoder, target: Vector, source: Operand, type_: str) -> Run:
    """Build `mov.b32 {low, high}, x`."""
    bits = 8 * DTYPES[type_].itemsize // len(target.elements)
    element = DTYPES[f"b{bits}"]
    read = d.read(source, f"b{8 * DTYPES[type_].itemsize}")
    if isinstance(source, Register):
        d.step.copies = (d.slot(source),)
    puts = [d.put(part, f"b{bits}") for part in target.elements]
    guard = d.guard

    def run(m: Batch, r: Registers) -> None:
        keep = None if guard is None else guard(r)
        value = np.ascontiguousarray(read(r))
        parts = value.view(element).reshape(value.shape[0], -1)
        for number, put in enumerate(puts):
            put(r, np.ascontiguousarray(parts[:, number]), keep)

    return run


def _assemble(d: Decoder, target: Operand, source: Vector, type_: str) -> Run:
    """Build `mov.b32 x, {low, high}`."""
    bits = 8 * DTYPES[type_].itemsize // len(source.elements)
    reads = [d.read(part, f"b{bits}") for part in source.elements]
    d.step.copies = tuple(d.slot(part) for part in source.elements if isinstance(part, Register))
    whole = f"b{8 * DTYPES[type_].itemsize}"
    dtype = DTYPES[whole]
    return d.pure(target, whole, lambda r: join([bits_of(read(r)) for read in reads]).reshape(-1).view(dtype))


def _to_generic(d: Decoder, i: Instruction) -> Run:
    type_ = i.opcode[-1]
    to = "to" in i.opcode
    split(i.opcode, ("to", *_SPACES, "shared::cta", "param::entry"), ("u64", "u32"))
    space = next((word.partition("::")[0] for word in i.opcode if word.partition("::")[0] in _SPACES), None)
    if space is None:
        raise Refused(".".join(i.opcode))
    read = d.read(i.operands[1], type_)
    if isinstance(i.operands[1], Register):
        d.step.copies = (d.slot(i.operands[1]),)
    base = np.uint64(WINDOWS[space])
    if not base:
        return d.pure(i.operands[0], type_, read)
    if type_ != "u64":
        raise Refused(".".join(i.opcode) + ": generic addresses have 64 bits")
    return d.pure(i.operands[0], type_, (lambda r: read(r) - base) if to else (lambda r: read(r) + base))


def _is_space(d: Decoder, i: Instruction) -> Run:
    space = i.opcode[1].partition("::")[0]
    read = d.read(i.operands[1], "u64")
    base = WINDOWS[space]

    def compute(r: Registers) -> Array:
        address = read(r)
        if base:
            return (address >= np.uint64(base)) & (address < np.uint64(base + WINDOW_BYTES))
        return address < np.uint64(PARAM_WINDOW)

    return d.pure(i.operands[0], "pred", compute)


def _nothing(d: Decoder, i: Instruction) -> None:
    """Build nothing, for prefetches and hints."""
    return None


def move_between(
    d: Decoder, to_frame: int, from_frame: int, type_: str, size: int, i: Instruction
) -> Callable[[Batch, Registers], None]:
    """Build the move of a parameter or result of an expanded call, between registers or local memory of two frames."""
    target, source = i.operands
    place = d.place
    dtype = DTYPES[type_] if isinstance(target, Register) or isinstance(source, Register) else None
    d.frame = from_frame
    read = None if isinstance(source, Symbol) and source.kind == "param" else d.read(source, type_)
    origin = d.locate(source.name) if isinstance(source, Symbol) and read is None else None
    d.frame = to_frame
    put = d.put(target, type_) if isinstance(target, (Register, Sink)) else None
    goal = d.locate(target.name) if isinstance(target, Symbol) else None
    offsets = [location.offset for location in (origin, goal) if location is not None]
    step = next(width for width in (8, 4, 2, 1) if not any(number % width for number in (size, *offsets)))

    def run(m: Batch, r: Registers) -> None:
        if read is not None and put is not None:
            put(r, read(r), None)
            return
        if read is not None and goal is not None:
            at = np.array([goal.offset], np.int64)
            store(m, place, goal.space, at, join([read(r)]), read(r).dtype.itemsize, None)
            return
        assert origin is not None
        if put is not None and dtype is not None:
            at = np.array([origin.offset], np.int64)
            data = load(m, place, origin.space, at, dtype.itemsize, None)
            put(r, resize(data.reshape(-1).view(dtype), dtype, signed=False), None)
            return
        assert goal is not None
        for offset in range(0, size, step):
            # parts of a structure may be unset: the shadow of the bytes is copied with them
            start, to = np.array([origin.offset + offset]), np.array([goal.offset + offset])
            checks, m.check_written = m.check_written, False
            data = load(m, place, origin.space, start, step, None)
            m.check_written = checks
            store(m, place, goal.space, to, data, step, None)
            if origin.space == goal.space == "local":
                base = m.chosen(None)[:, None] * m.local_bytes + np.arange(step)
                m.local_shadow[base + to] = m.local_shadow[base + start]

    return run


BUILDERS: dict[str, Builder] = {
    "ld": _load,
    "ldu": _load,
    "st": _store,
    "mov": _move,
    "cvta": _to_generic,
    "isspacep": _is_space,
    "prefetch": _nothing,
    "prefetchu": _nothing,
    "discard": _nothing,
    "applypriority": _nothing,
}
