"""Builders of instructions of whole warps: shfl, vote, match, redux, activemask, elect.

Source: PTX ISA 9.7.9.6 "shfl.sync", 9.7.13.9 "vote.sync" to 9.7.13.13 "elect.sync".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...payload.ptx.syntax import Instruction, Integer, Operand, Pair, Sink
from .batch import Batch
from .control import check_members
from .decode import Builder, Decoder, Put, Run
from .faults import Place, Refused
from .floating import CANONICAL
from .types import DTYPES, Array, Read

_LANE = np.arange(32)
_BIT = np.uint32(1) << np.arange(32, dtype=np.uint32)
FULL = 0xFFFFFFFF


def participants(m: Batch, place: Place, masks: Array, keep: Array | None) -> Array:
    """Return a mask of participating lanes, [W, 32]; lanes that their own mask leaves out are findings."""
    present = m.warps.present
    if keep is not None:
        present = present & m.warps.spread(np.broadcast_to(keep, (m.count,)), m.count, False)
    if not (masks.shape[0] == 1 and int(masks[0]) == FULL):
        where = None if keep is None else np.flatnonzero(np.broadcast_to(keep, (m.count,)))
        if where is None or where.size:
            check_members(m, place, np.broadcast_to(masks, (m.count,)), where)
    return present


def source_lanes(mode: str, lane: Array, b: Array, c: Array) -> tuple[Array, Array]:
    """Return the source lane of each lane, and a mask of those inside of their segment."""
    value, clamp, segment = b.astype(np.int64) & 31, c.astype(np.int64) & 31, (c.astype(np.int64) >> 8) & 31
    top, bottom = (lane & segment) | (clamp & ~segment & 31), lane & segment
    if mode == "up":
        source = lane - value
        return source, source >= top
    if mode == "down":
        source = lane + value
    elif mode == "bfly":
        source = lane ^ value
    else:
        source = bottom | (value & ~segment & 31)
    return source, source <= top


def _shuffle(d: Decoder, i: Instruction) -> Run:
    sync = "sync" in i.opcode
    mode = i.opcode[2] if sync else i.opcode[1]
    if mode not in ("up", "down", "bfly", "idx") or i.opcode[-1] != "b32":
        raise Refused(".".join(i.opcode))
    target, inside_target = _pair(i.operands[0])
    put = d.put(target, "b32")
    put_inside = None if inside_target is None else d.put(inside_target, "pred")
    a, b, c = (d.read(operand, "u32") for operand in i.operands[1:4])
    masks = d.read(i.operands[4] if sync else Integer(FULL), "u32")
    d.step.members = masks
    guard, place = d.guard, d.place

    def run(m: Batch, r: list[Array]) -> None:
        keep = None if guard is None else guard(r)
        if keep is not None and not keep.any():
            return
        values, by, clamp, mask = a(r), b(r), c(r), masks(r)
        warps = m.warps
        present = participants(m, place, mask, keep)
        if warps.full and by.shape[0] == clamp.shape[0] == 1:
            source, inside = source_lanes(mode, _LANE, by, clamp)
            source = np.where(inside, source, _LANE)
            if keep is not None or int(mask[0]) != FULL or mask.shape[0] > 1:
                lanes = np.broadcast_to(source, (len(warps.rows), 32))
                _check_sources(m, place, present, mask, warps.collect(lanes), keep)
            result = warps.spread(values, m.count)[:, source].reshape(-1)
            inside = np.tile(inside, len(warps.rows))
        else:
            source, inside = source_lanes(mode, warps.column, by, clamp)
            source = np.where(inside, source, warps.column)
            _check_sources(m, place, present, mask, source, keep)
            result = warps.spread(values, m.count)[warps.row, source]
        put(r, result, keep)
        if put_inside is not None:
            put_inside(r, np.broadcast_to(inside, (m.count,)), keep)

    return run


def _check_sources(m: Batch, place: Place, present: Array, masks: Array, source: Array, keep: Array | None) -> None:
    """Report reads from lanes that do not take part, which give undefined values."""
    missing = ~present[m.warps.row, source]
    outside = ((np.broadcast_to(masks, source.shape) >> source.astype(np.uint32)) & np.uint32(1)) == 0
    bad = missing | outside
    if keep is not None:
        bad = bad & keep
    if bad.any():
        first = int(bad.argmax())
        lane = int(m.chosen(None)[first])
        why = "is not active" if missing[first] else "is not in the mask"
        m.fault("warp", place, lane, f"reads from lane {int(source[first])}, which {why}", count=int(bad.sum()))


def _pair(operand: Operand) -> tuple[Operand, Operand | None]:
    return (operand.first, operand.second) if isinstance(operand, Pair) else (operand, None)


def _collective(
    d: Decoder,
    i: Instruction,
    masks: Read,
    compute: Callable[[Batch, list[Array], Array, Array], list[Array]],
    puts: list[Put],
) -> Run:
    """Build an instruction whose results come from whole warps: `compute` gets the masks and the participants."""
    d.step.members = masks
    guard, place = d.guard, d.place

    def run(m: Batch, r: list[Array]) -> None:
        keep = None if guard is None else guard(r)
        if keep is not None and not keep.any():
            return
        mask = masks(r)
        present = participants(m, place, mask, keep)
        named = m.warps.spread(mask, m.count)
        # lanes that took another path have no defined value: only those present take part
        member = present & (((named.max(axis=1)[:, None] >> _LANE.astype(np.uint32)) & np.uint32(1)) != 0)
        for put, value in zip(puts, compute(m, r, member, named), strict=True):
            put(r, value, keep)

    return run


def _per_lane(m: Batch, per_warp: Array) -> Array:
    return per_warp[m.warps.row]


def _bits(flags: Array) -> Array:
    """Pack flags [W, 32] into [W] uint32."""
    packed: Array = (flags.astype(np.uint32) * _BIT).sum(axis=1, dtype=np.uint64).astype(np.uint32)
    return packed


def _vote(d: Decoder, i: Instruction) -> Run:
    mode = i.opcode[2] if "sync" in i.opcode else i.opcode[1]
    read = d.read(i.operands[1], "pred")
    masks = d.read(i.operands[2] if "sync" in i.opcode else Integer(FULL), "u32")
    if mode not in ("all", "any", "uni", "ballot") or i.opcode[-1] != ("b32" if mode == "ballot" else "pred"):
        raise Refused(".".join(i.opcode))
    put = d.put(i.operands[0], "b32" if mode == "ballot" else "pred")

    def compute(m: Batch, r: list[Array], member: Array, named: Array) -> list[Array]:
        votes = m.warps.spread(read(r), m.count, False)
        yes, no = (votes & member), (~votes & member)
        if mode == "ballot":
            return [_per_lane(m, _bits(yes))]
        every, some = np.asarray(~no.any(axis=1)), np.asarray(yes.any(axis=1))
        return [_per_lane(m, {"all": every, "any": some, "uni": every | ~some}[mode])]

    return _collective(d, i, masks, compute, [put])


def _match(d: Decoder, i: Instruction) -> Run:
    mode, type_ = i.opcode[1], i.opcode[-1]
    if mode not in ("any", "all") or type_ not in ("b32", "b64"):
        raise Refused(".".join(i.opcode))
    read = d.read(i.operands[1], type_)
    masks = d.read(i.operands[2], "u32")
    target, predicate = _pair(i.operands[0])
    puts = [d.put(target, "b32")]
    if predicate is not None and mode == "all":
        puts.append(d.put(predicate, "pred"))

    def compute(m: Batch, r: list[Array], member: Array, named: Array) -> list[Array]:
        values = m.warps.spread(read(r), m.count)
        same = (values[:, :, None] == values[:, None, :]) & member[:, None, :]
        if mode == "any":
            masks_of = (same.astype(np.uint32) * _BIT).sum(axis=2, dtype=np.uint64).astype(np.uint32)
            return [m.warps.collect(masks_of)]
        first = values[np.arange(len(values)), member.argmax(axis=1)]
        agree = ((values == first[:, None]) | ~member).all(axis=1)
        result = [_per_lane(m, np.where(agree, _bits(member), np.uint32(0))), _per_lane(m, agree)]
        return result[: len(puts)]

    return _collective(d, i, masks, compute, puts)


_REDUCTIONS: dict[str, tuple[np.ufunc, Callable[[np.dtype[Any]], object]]] = {
    "add": (np.add, lambda t: 0),
    "and": (np.bitwise_and, lambda t: np.iinfo(t).max if t.kind == "u" else -1),
    "or": (np.bitwise_or, lambda t: 0),
    "xor": (np.bitwise_xor, lambda t: 0),
    "min": (np.minimum, lambda t: np.inf if t.kind == "f" else np.iinfo(t).max),
    "max": (np.maximum, lambda t: -np.inf if t.kind == "f" else np.iinfo(t).min),
}


_REDUCED = {
    "add": ("u32", "s32"),
    **dict.fromkeys(("and", "or", "xor"), ("b32",)),
    **dict.fromkeys(("min", "max"), ("u32", "s32", "f32")),
}


def _reduce(d: Decoder, i: Instruction) -> Run:
    operation, type_ = i.opcode[2], i.opcode[-1]
    absolute, nan = type_ == "f32" and "abs" in i.opcode, type_ == "f32" and "NaN" in i.opcode
    if type_ not in _REDUCED.get(operation, ()) or i.opcode[1] != "sync":
        raise Refused(".".join(i.opcode))
    read, masks = d.read(i.operands[1], type_), d.read(i.operands[2], "u32")
    function, neutral = _REDUCTIONS[operation]
    dtype = DTYPES[type_]
    if dtype.kind == "f" and not nan:
        function = np.fmin if operation == "min" else np.fmax
    fill = dtype.type(neutral(dtype))

    def compute(m: Batch, r: list[Array], member: Array, named: Array) -> list[Array]:
        values = m.warps.spread(read(r), m.count)
        if absolute:
            values = np.abs(values)
        found: Array = function.reduce(np.where(member, values, fill), axis=1, dtype=dtype)
        if dtype.kind == "f":
            # where no lane has a number, the result must not be the neutral element
            nans = np.isnan(values)
            lost = np.asarray((nans & member).any(axis=1) if nan else (nans | ~member).all(axis=1))
            found = np.where(lost, CANONICAL[4], found)
        return [_per_lane(m, found)]

    return _collective(d, i, masks, compute, [d.put(i.operands[0], type_)])


def _active_mask(d: Decoder, i: Instruction) -> Run:
    put, guard = d.put(i.operands[0], "b32"), d.guard

    def run(m: Batch, r: list[Array]) -> None:
        keep = None if guard is None else guard(r)
        put(r, _per_lane(m, _bits(m.warps.present)), keep)

    return run


def _elect(d: Decoder, i: Instruction) -> Run:
    """Build elect: the lowest lane of the mask is the leader."""
    target, predicate = _pair(i.operands[0])
    if predicate is None:
        raise Refused(".".join(i.opcode) + " without a predicate")
    masks = d.read(i.operands[1], "u32")
    puts = [d.put(target if not isinstance(target, Sink) else Sink(), "b32"), d.put(predicate, "pred")]

    def compute(m: Batch, r: list[Array], member: Array, named: Array) -> list[Array]:
        leader = member.argmax(axis=1)
        return [_per_lane(m, leader.astype(np.uint32)), m.warps.column == leader[m.warps.row]]

    return _collective(d, i, masks, compute, puts)


BUILDERS: dict[str, Builder] = {
    "shfl": _shuffle,
    "vote": _vote,
    "match": _match,
    "redux": _reduce,
    "activemask": _active_mask,
    "elect": _elect,
}
