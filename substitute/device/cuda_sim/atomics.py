"""atom and red: lanes that meet at one address take turns in the order of their numbers.

Source: PTX ISA 9.7.13.4 "atom", 9.7.13.5 "red".
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...payload.ptx.syntax import Instruction
from .batch import Batch
from .decode import Builder, Decoder, Run
from .faults import Place, Refused
from .memory_access import resolve, split_generic
from .movement import space_of
from .races import note_atomics
from .rounding import round_bf16
from .types import DTYPES, Array, Registers, bf16_to_f32

Operation = Callable[..., Array]
_SCOPES = {
    "relaxed", "acquire", "release", "acq_rel", "cta", "gpu", "sys", "noftz", "L2::cache_hint", "global", "shared",
    "shared::cta",
}  # fmt: skip
_BITS: dict[str, np.ufunc] = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}


def _wrap_up(old: Array, b: Array) -> Array:
    return np.where(old >= b, np.zeros(1, old.dtype), old + old.dtype.type(1))


def _wrap_down(old: Array, b: Array) -> Array:
    return np.where((old == 0) | (old > b), b, old - old.dtype.type(1))


def _compare_and_swap(old: Array, b: Array, c: Array) -> Array:
    return np.where(old == b, c, old)


def _add(type_: str) -> Operation:
    if type_ in ("f16x2", "bf16x2", "bf16"):

        def packed(old: Array, b: Array) -> Array:
            if type_ == "f16x2":
                halves = [np.ascontiguousarray(x).view(np.float16) for x in (old, b)]
                return (halves[0] + halves[1]).view(old.dtype)
            parts = [bf16_to_f32(np.ascontiguousarray(x).view(np.uint16)) for x in (old, b)]
            return round_bf16(parts[0] + parts[1]).view(old.dtype)

        return packed
    return np.add


def operation(name: str, type_: str) -> Operation:
    """New value of an address from the old one and the operands. Raises `Refused`."""
    if name == "add":
        return _add(type_)
    if name in ("min", "max") and type_ in ("u32", "s32", "u64", "s64"):
        return np.minimum if name == "min" else np.maximum
    if name in _BITS:
        return _BITS[name]
    if name == "exch":
        return lambda old, b: b
    if name == "cas":
        return _compare_and_swap
    if name in ("inc", "dec") and type_ == "u32":
        return _wrap_up if name == "inc" else _wrap_down
    raise Refused(f"atom.{name}.{type_}")


def _atomic(d: Decoder, i: Instruction) -> Run:
    returns = i.opcode[0] == "atom"
    words = [word for word in i.opcode[1:-1] if word not in _SCOPES]
    type_ = i.opcode[-1]
    if len(words) != 1 or type_ not in DTYPES:
        for word in words:
            if "cluster" in word:
                raise Refused(f"clusters (.{word})")
        raise Refused(".".join(i.opcode))
    name = words[0]
    function = operation(name, type_)
    first = 1 if returns else 0
    address, location = d.address(i.operands[first])
    space = space_of(i.opcode[1:], location)
    dtype = DTYPES[type_]
    if space in ("shared", "generic"):
        d.smallest_shared_access = min(d.smallest_shared_access, dtype.itemsize)
    count = 2 if name == "cas" else 1
    reads = [d.read(operand, type_) for operand in i.operands[first + 1 : first + 1 + count]]
    put = d.put_some(i.operands[0], type_) if returns else None
    guard, place = d.guard, d.place

    def run(m: Batch, r: Registers) -> None:
        where, some = m.select(None if guard is None else guard(r))
        if not some:
            return
        lanes = m.count if where is None else len(where)

        def of_chosen(value: Array) -> Array:
            return np.broadcast_to(value, (lanes,)) if value.shape[0] == 1 else value if where is None else value[where]

        at = of_chosen(address(r))
        values = [of_chosen(read(r)) for read in reads]
        old = np.zeros(lanes, dtype)
        chosen = np.arange(m.count) if where is None else where
        parts = [(space, at, None, where)] if space != "generic" else split_generic(m, at, where)
        for inner, addresses, some_at, _ in parts:
            picked = slice(None) if some_at is None else some_at
            own = [value[picked] for value in values]
            old[picked] = _update(m, place, inner, addresses, own, chosen[picked], function, name, dtype)
        if put is not None:
            put(r, old, where, m.count)

    return run


def _update(
    m: Batch, place: Place, space: str, address: Array, values: list[Array], where: Array, function: Operation,
    name: str, dtype: np.dtype[np.generic],
) -> Array:  # fmt: skip
    """Performs the operation for chosen lanes; returns the old values."""
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
