"""atom and red: lanes that access the same address are serialised in the order of their numbers.

Source: PTX ISA 9.7.13.4 "atom", 9.7.13.5 "red".
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...payload.ptx.syntax import Instruction
from . import floating
from .addresses import aligned, resolve, split_generic
from .arithmetic import on_floats
from .batch import Batch
from .decode import Builder, Decoder, Run
from .faults import Place, Refused
from .modifiers import note
from .movement import space_of
from .races import bits_differ, note_atomics, note_global_atomics, publish
from .types import DTYPES, Array, Registers

Operation = Callable[..., Array]
_SCOPES = frozenset(
    {
        "relaxed",
        "acquire",
        "release",
        "acq_rel",
        "cta",
        "gpu",
        "sys",
        "noftz",
        "L2::cache_hint",
        "global",
        "shared",
        "shared::cta",
    }
)
_BITS: dict[str, np.ufunc] = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}
_HALVES = ("f16", "bf16", "f16x2", "bf16x2")
_VECTORS = {"v2": 2, "v4": 4, "v8": 8}
_TYPES: dict[str, tuple[str, ...]] = {
    "add": ("u32", "s32", "u64", "f32", "f64", *_HALVES),
    "exch": ("b32", "b64", "b128"),
    "cas": ("b16", "b32", "b64", "b128"),
    **dict.fromkeys(("min", "max"), ("u32", "s32", "u64", "s64")),
    **dict.fromkeys(("and", "or", "xor"), ("b32", "b64")),
    **dict.fromkeys(("inc", "dec"), ("u32",)),
}
"""Types of each operation, as scalars."""


def _wrap_up(old: Array, b: Array) -> Array:
    return np.where(old >= b, np.zeros(1, old.dtype), old + old.dtype.type(1))


def _wrap_down(old: Array, b: Array) -> Array:
    return np.where((old == 0) | (old > b), b, old - old.dtype.type(1))


def _compare_and_swap(old: Array, b: Array, c: Array) -> Array:
    return np.where(bits_differ(old, b), old, c)


def _extremum(name: str) -> Operation:
    return lambda a, b: floating.extremum(a, b, largest=name == "max", nan=False)


def operation(name: str, type_: str, *, flushes: bool = False) -> Operation:
    """Return a function of the old value and the operands that gives the new value.

    `flushes`: subnormal float32 are zeros, as they are to additions in global memory. Raises `Refused`.
    """
    if name in ("add", "min", "max") and (type_ in _HALVES or type_[0] == "f"):
        plain: Operation = np.add if name == "add" else _extremum(name)
        return on_floats(plain, type_, ftz=flushes and type_ == "f32")
    if name == "add":
        return np.add
    if name in ("min", "max"):
        return np.minimum if name == "min" else np.maximum
    if name in _BITS:
        return _BITS[name]
    if name == "exch":
        return lambda old, b: b
    if name == "cas":
        return _compare_and_swap
    return _wrap_up if name == "inc" else _wrap_down


def _check(i: Instruction) -> tuple[str, int]:
    """Return (operation, elements). Raises `Refused`."""
    type_ = i.opcode[-1]
    words = [word for word in i.opcode[1:-1] if word not in _SCOPES]
    count = next((_VECTORS[word] for word in words if word in _VECTORS), 1)
    names = [word for word in words if word not in _VECTORS]
    for word in names:
        if "cluster" in word:
            raise Refused(f"clusters (.{word})")
    if len(names) != 1 or len(words) - len(names) != (count > 1):
        raise Refused(".".join(i.opcode))
    name = names[0]
    halves = type_ in _HALVES
    fits = type_ in _TYPES.get(name, ())
    if count > 1:
        # vectors: additions of floats, and extrema of halves
        fits = (name == "add" and type_ == "f32" and count < 8) or (name in ("add", "min", "max") and halves)
    if not fits or (halves and "noftz" not in i.opcode):
        raise Refused(".".join(i.opcode))
    note(i.opcode, words)
    return name, count


def _atomic(d: Decoder, i: Instruction) -> Run:
    returns = i.opcode[0] == "atom"
    type_ = i.opcode[-1]
    name, elements = _check(i)
    functions = {space: operation(name, type_, flushes=space == "global") for space in ("global", "shared")}
    first = 1 if returns else 0
    address, location = d.address(i.operands[first])
    space = space_of(i.opcode[1:], location)
    dtype = DTYPES[type_]
    if space in ("shared", "generic"):
        d.smallest_shared_access = min(d.smallest_shared_access, dtype.itemsize)
    d.note_store(space, dtype.itemsize)
    d.step.awaits = returns
    # read when decoding, not when running: a modifier that no builder reads is refused
    releases = not {"release", "acq_rel"}.isdisjoint(i.opcode)
    device = "cta" not in i.opcode
    if name == "cas":
        columns = [[d.read(operand, type_) for operand in i.operands[first + 1 : first + 3]]]
    else:
        columns = [[d.read(part, type_)] for part in d.elements(i.operands[first + 1])]
    puts = [d.put_some(part, type_) for part in d.elements(i.operands[0])] if returns else []
    if len(columns) != elements or (returns and len(puts) != elements):
        raise Refused(f"{'.'.join(i.opcode)} with {len(columns)} values")
    guard, place = d.guard, d.place

    def run(m: Batch, r: Registers) -> None:
        where, some = m.select(None if guard is None else guard(r))
        if not some:
            return
        lanes = m.count if where is None else len(where)
        if releases:
            publish(m, where, device=device)

        def of_chosen(value: Array) -> Array:
            return np.broadcast_to(value, (lanes,)) if value.shape[0] == 1 else value if where is None else value[where]

        start = of_chosen(address(r))
        if elements > 1:
            start = aligned(m, place, space, start, dtype.itemsize * elements, where)
        chosen = np.arange(m.count) if where is None else where
        results = []
        for number, reads in enumerate(columns):
            at = start + np.int64(number * dtype.itemsize) if number else start
            values = [of_chosen(read(r)) for read in reads]
            old = np.zeros(lanes, dtype)
            parts = [(space, at, None, where)] if space != "generic" else split_generic(m, at, where)
            for inner, addresses, some_at, _ in parts:
                picked = slice(None) if some_at is None else some_at
                own = [value[picked] for value in values]
                function = functions["shared" if inner == "shared" else "global"]
                old[picked] = _update(m, place, inner, addresses, own, chosen[picked], function, name, dtype)
            results.append(old)
        for put, old in zip(puts, results, strict=False):
            put(r, old, where, m.count)

    return run


def _update(
    m: Batch,
    place: Place,
    space: str,
    address: Array,
    values: list[Array],
    where: Array,
    function: Operation,
    name: str,
    dtype: np.dtype[np.generic],
) -> Array:
    """Perform the operation for chosen lanes and return the old values."""
    m.changes += 1
    size = dtype.itemsize
    index, bad = resolve(m, place, space, address, size, where)
    old = np.zeros(len(address), dtype)
    good = np.ones(len(address), bool) if bad is None else ~bad
    target = m.view(space, dtype)
    index, values, at = index[good], [value[good] for value in values], np.flatnonzero(good)
    if not index.size:
        return old
    if space == "shared":
        note_atomics(m, place, index * size, size, where[good])
    elif space == "global" and m.globals is not None:
        note_global_atomics(m, place, index, size, where[good])
    order = np.argsort(index, kind="stable")
    starts = np.concatenate([[True], np.diff(index[order]) != 0])
    if starts.all():
        before = target[index]
        old[at] = before
        target[index] = function(before, *values)
        return old
    if name == "add" and dtype.kind in "iu" and function is np.add:
        sums = np.cumsum(values[0][order], dtype=dtype)
        group = np.cumsum(starts) - 1
        base = (sums - values[0][order])[starts][group]
        old[at[order]] = target[index[order]] + (sums - values[0][order]) - base
        np.add.at(target, index, values[0])
        return old
    ranks = np.arange(len(order)) - np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))
    turns = np.argsort(ranks, kind="stable")
    for turn in np.split(order[turns], np.flatnonzero(np.diff(ranks[turns])) + 1):
        before = target[index[turn]]
        old[at[turn]] = before
        target[index[turn]] = function(before, *[value[turn] for value in values])
    return old


BUILDERS: dict[str, Builder] = {"atom": _atomic, "red": _atomic}
