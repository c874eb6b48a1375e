"""wgmma: matrix multiplication by a warpgroup of four warps, operands in shared memory by descriptor.

The product is made when the instruction is issued; the shared memory that it reads counts as in use until
`wgmma.wait_group`. Source: PTX ISA 9.7.15 "Asynchronous Warpgroup Level Matrix Multiply-Accumulate Instructions",
"Matrix Descriptor Format", "Strides" and "Swizzling Modes" there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...payload.ptx.syntax import Instruction, Integer, Operand, Register, Vector
from .addresses import PATTERN, unit_of
from .batch import Batch
from .decode import Builder, Decoder, Run, Step
from .faults import Place, Refused, Stop
from .floating import canonical
from .matrix import INTEGERS, add_to, from_fragments, shape_of
from .modifiers import note
from .races import check_proxy, note_reads
from .types import DTYPES, Array, Read, Registers, widen

_ROW_BYTES = {0: 16, 1: 128, 2: 64, 3: 32}
"""Bytes of a row of eight in each swizzling mode (none, 128, 64, 32 bytes)."""
_SWIZZLE_BITS = {1: 3, 2: 2, 3: 1}
_DEPTH = {"f16": 16, "bf16": 16, "tf32": 8, "e4m3": 32, "e5m2": 32, "s8": 32, "u8": 32}


@dataclass(frozen=True, slots=True)
class Operands:
    """Readers of the instruction's operands."""

    a: list[Read] | Read
    b: Read
    accumulate: Read
    a_sign: int
    b_sign: int
    a_turned: bool
    b_turned: bool


Words = tuple[Array, Array, Array]
"""Words of shared memory, and the block and the thread that read them."""


@dataclass(slots=True)
class GroupState:
    """Products of a warpgroup that have not been waited for, and its registers since the last fence."""

    open: list[Words] = field(default_factory=list)
    """Shared memory read by products that are in no commit group yet."""
    groups: list[list[Words]] = field(default_factory=list)
    """Shared memory read by the products of each commit group."""
    open_registers: frozenset[int] = frozenset()
    group_registers: list[frozenset[int]] = field(default_factory=list)
    """Accumulators of each group."""
    fenced: bool = False
    """True after a fence."""
    touched: frozenset[int] = frozenset()
    """Accumulators and fragments of A that other instructions computed or read since the last fence."""
    shapes: dict[int, str] = field(default_factory=dict)
    """Shape of the last product in each accumulator since the last fence."""

    @property
    def registers(self) -> frozenset[int]:
        """Accumulators that must not be accessed."""
        return self.open_registers.union(*self.group_registers)

    def of(self, chosen: Array, number: Callable[[Words], int]) -> GroupState:
        """Return a copy with the words of some warpgroups only."""

        def kept(words: list[Words]) -> list[Words]:
            return [one for one in words if chosen[number(one)]]

        return GroupState(
            open=kept(self.open),
            groups=[kept(group) for group in self.groups],
            open_registers=self.open_registers,
            group_registers=list(self.group_registers),
            fenced=self.fenced,
            touched=self.touched,
            shapes=dict(self.shapes),
        )


@dataclass(slots=True)
class InFlight:
    """State of every warpgroup of a batch; those with the same history share one."""

    per_block: int
    """Warpgroups in a block."""
    number_of: Array
    """[lanes of the batch]: number of each lane's warpgroup."""
    classes: list[tuple[Array, GroupState]]
    """Warpgroups that share a state, and the state."""

    def states(self, m: Batch) -> list[GroupState]:
        """Return the states of the warpgroups that execute now, split from those that do not."""
        if m.lanes is None and len(self.classes) == 1:
            return [self.classes[0][1]]
        here = np.zeros(len(self.classes[0][0]), bool)
        here[self.number_of[m.chosen(None)]] = True
        parted: list[tuple[Array, GroupState]] = []
        found: list[GroupState] = []
        for members, state in self.classes:
            inside, outside = members & here, members & ~here
            if inside.any() and outside.any():
                parted.append((outside, state.of(outside, self._number)))
                state = state.of(inside, self._number)
            if inside.any():
                found.append(state)
            parted.append((inside if inside.any() else members, state))
        self.classes = parted
        return found

    def state_of(self, lane: int) -> GroupState:
        """Return the state of the warpgroup that a lane is in."""
        number = int(self.number_of[lane])
        return next(state for members, state in self.classes if members[number])

    def _number(self, words: Words) -> int:
        _, block, thread = words
        return int(block[0]) * self.per_block + int(thread[0]) // 128


def _wgmma(d: Decoder, i: Instruction) -> Run | None:
    kind = i.opcode[1]
    if kind == "mma_async":
        if "sp" in i.opcode:
            raise Refused("sparse matrices (wgmma.mma_async.sp)")
        return _multiply(d, i)
    if kind == "fence":
        return lambda m, r: _fence(m)
    if kind == "commit_group":
        return lambda m, r: _commit(m)
    if kind == "wait_group" and isinstance(i.operands[0], Integer):
        pending = i.operands[0].value
        return lambda m, r: _wait(m, pending)
    raise Refused(".".join(i.opcode))


def _multiply(d: Decoder, i: Instruction) -> Run:
    rows, columns, depth = shape_of(i)
    satfinite = "satfinite" in i.opcode
    types = [word for word in i.opcode[5:] if word != "satfinite"]
    if len(types) != 3 or _DEPTH.get(types[1]) != depth or types[2] not in _DEPTH or rows != 64 or columns % 8:
        raise Refused(".".join(i.opcode))
    result, a_type, b_type = types
    note(i.opcode, types)
    if result not in ("f32", "f16", "s32"):
        raise Refused(".".join(i.opcode))
    targets = d.elements(i.operands[0])
    per_block = 2 if result == "f16" else 4
    if len(targets) != columns // 8 * per_block:
        raise Refused(f"{'.'.join(i.opcode)} with {len(targets)} registers")
    held = "b32" if result == "f16" else result
    puts = [d.put(t, held) for t in targets]
    accumulators = frozenset(d.slot(t) for t in targets if isinstance(t, Register))
    d.step.accumulators = accumulators
    operands = _operands(d, i.operands[1:])
    fragments = d.elements(i.operands[1]) if isinstance(i.operands[1], Vector) else []
    d.step.fragments = frozenset(d.slot(t) for t in fragments if isinstance(t, Register))
    ordered, shape = accumulators | d.step.fragments, i.opcode[4]
    scale = i.operands[3] if len(i.operands) > 3 else Integer(1)
    zero = np.zeros(1, DTYPES[held])
    # with a scale-d of 0 the accumulators are written, not read
    reads = [d.read(t, held) for t in targets] if scale != Integer(0) else [lambda r: zero for _ in targets]
    if not isinstance(scale, Integer):
        d.step.conditional, d.step.needs = accumulators, operands.accumulate
    d.step.members = d.read(Integer(0xFFFFFFFF), "u32")
    d.step.width = 128
    place, guard = d.place, d.guard
    if guard is not None:
        raise Refused("a guard on wgmma.mma_async")

    def run(m: Batch, r: Registers) -> None:
        _whole_groups(m, place)
        for state in in_flight(m).states(m):
            _check_fence(m, place, state, ordered, accumulators, shape)
            state.open_registers = state.open_registers | accumulators
        left = _left(m, place, operands, r, a_type, depth)
        right = _from_shared(m, place, operands.b, r, b_type, columns, depth, operands.b_turned)
        product = np.matmul(left, right.transpose(0, 2, 1)) * left.dtype.type(operands.a_sign * operands.b_sign)
        product = product.reshape(len(left), 4, 2, 8, columns // 8, 4, 2)
        keeps = np.broadcast_to(operands.accumulate(r), (m.count,))
        before = [np.where(keeps, read(r), zero) for read in reads]
        for put, value in zip(puts, _results(product, before, result, satfinite=satfinite), strict=True):
            put(r, value, None)

    return run


def _operands(d: Decoder, rest: tuple[Operand, ...]) -> Operands:
    numbers = [o.value for o in rest[3:] if isinstance(o, Integer)]
    if len(numbers) != len(rest[3:]):
        raise Refused("wgmma with scales that are no constants")
    in_registers = isinstance(rest[0], Vector)
    a: list[Read] | Read = (
        [d.read(part, "b32") for part in d.elements(rest[0])] if in_registers else d.read(rest[0], "b64")
    )
    signs = [*numbers[:2], 1, 1][:2]
    turns = [0, *numbers[2:3], 0][:2] if in_registers else [*numbers[2:4], 0, 0][:2]
    accumulate = d.read(rest[2], "pred") if len(rest) > 2 else d.read(Integer(1), "pred")
    return Operands(
        a=a,
        b=d.read(rest[1], "b64"),
        accumulate=accumulate,
        a_sign=signs[0],
        b_sign=signs[1],
        a_turned=bool(turns[0]),
        b_turned=bool(turns[1]),
    )


def _whole_groups(m: Batch, place: Place) -> None:
    warps = m.warps
    groups = warps.rows.reshape(-1, 4) if len(warps.rows) % 4 == 0 else None
    whole = (
        groups is not None
        and warps.full
        and bool(((groups[:, 0] % m.warps_per_block) % 4 == 0).all() and (np.diff(groups, axis=1) == 1).all())
    )
    if not whole:
        words = "all 128 threads of a warpgroup must execute this together"
        m.fault("deadlock", place, int(m.chosen(None)[0]), words)
        raise Stop


def _left(m: Batch, place: Place, operands: Operands, r: Registers, type_: str, depth: int) -> Array:
    """Return the left operand, [G, 64, K]."""
    if not isinstance(operands.a, list):
        return _from_shared(m, place, operands.a, r, type_, 64, depth, operands.a_turned)
    registers = [m.warps.spread(read(r), m.count) for read in operands.a]
    return from_fragments(registers, type_, 16).reshape(-1, 64, depth)


def _from_shared(
    m: Batch, place: Place, descriptor: Read, r: Registers, type_: str, rows: int, depth: int, turned: bool
) -> Array:
    """Return exact values of an operand in shared memory, [G, rows, K]."""
    lanes = m.chosen(None).reshape(-1, 128)[:, 0]
    words = np.broadcast_to(descriptor(r), (m.count,)).reshape(-1, 128)
    if (words != words[:, :1]).any():
        m.fault("warp", place, int(lanes[0]), "threads of one warpgroup give different matrix descriptors")
    size = DTYPES[type_].itemsize
    offset = _offsets(words[:, 0], rows, depth, size, turned)
    limit = m.shared_bytes
    bad = (offset < 0) | (offset + size > limit)
    if bad.any():
        first = int(offset[bad][0])
        m.fault(
            "out-of-bounds",
            place,
            int(lanes[int(bad.any(axis=(1, 2)).argmax())]),
            f"the matrix descriptor reaches shared address {first:#x}: shared memory has {limit:,} bytes",
            address=first,
            space="shared",
            count=int(bad.sum()),
        )
        offset = np.where(bad, 0, offset)
    offset = offset + m.shared_base[lanes][:, None, None]
    element = DTYPES[f"u{8 * size}"]
    index = offset // size
    _check(m, place, offset, size, lanes)
    values = m.view("shared", element)[index]
    if type_ in INTEGERS:
        whole: Array = values.view(DTYPES[type_]).astype(np.float64)
        return whole
    return widen(values.view(DTYPES[type_]), type_)


def _offsets(words: Array, rows: int, depth: int, size: int, turned: bool) -> Array:
    """Return the byte of each element, [G, rows, K]. `turned`: the rows' dimension is the contiguous one (16-bit types
    only).
    """
    w = words.astype(np.uint64)

    def bits(low: int) -> Array:
        return (((w >> np.uint64(low)) & np.uint64(0x3FFF)) << np.uint64(4)).astype(np.int64)[:, None, None]

    start, leading, stride = bits(0), bits(16), bits(32)
    mode = int(w[0] >> np.uint64(62))
    width = _ROW_BYTES[mode]
    row, k = np.arange(rows)[None, :, None], np.arange(depth)[None, None, :]
    if not turned:
        at = start + row // 8 * stride + row % 8 * width
        at = at + (k * size % 16 + k * size // 16 * leading if mode == 0 else k * size)
    elif mode == 0:
        at = start + row // 8 * stride + k % 8 * 16 + row % 8 * size + k // 8 * leading
    else:
        chunk = width // size
        at = start + row // chunk * leading + k // 8 * stride + k % 8 * width + row % chunk * size
    if mode:
        at = at ^ (((at >> 7) & ((1 << _SWIZZLE_BITS[mode]) - 1)) << 4)
    return at


def _check(m: Batch, place: Place, offset: Array, size: int, lanes: Array) -> None:
    if m.check_written:
        unwritten = m.view("shared-shadow", unit_of(size))[offset // size] != PATTERN[size]
        if unwritten.any():
            group, row, k = (int(n[0]) for n in np.nonzero(unwritten))
            at = int(offset[group, row, k] - m.shared_base[lanes[group]])
            m.fault(
                "uninitialised-memory",
                place,
                int(lanes[group]),
                f"element ({row}, {k}) of the matrix is at shared address {at:#x}; a byte of it was never written",
                address=at,
                space="shared",
                count=int(unwritten.sum()),
            )
    if m.hazards is None:
        return
    state = in_flight(m)
    before = m.lanes
    for group, lane in enumerate(lanes.tolist()):
        bytes_ = offset[group][..., None] + np.arange(0, size, m.hazards.grain)
        words = np.unique(bytes_ // m.hazards.grain)
        block, thread = np.full(len(words), m.block_of[lane]), np.full(len(words), m.thread_of[lane])
        m.activate(np.full(len(words), lane))
        note_reads(m, place, words * m.hazards.grain, m.hazards.grain, None)
        check_proxy(m, place, words, lane, np.arange(m.thread_of[lane], m.thread_of[lane] + 128))
        m.hazards.begin_copy(words, thread, reads=True)
        state.state_of(lane).open.append((words, block, thread))
    m.activate(before)


def _results(product: Array, before: list[Array], result: str, *, satfinite: bool) -> list[Array]:
    """Return one array of lanes per register, from a product [G, warp, half, g, column block, t, 2]."""
    out = []
    for block in range(product.shape[4]):
        for half in range(2):
            pair = product[:, :, half, :, block]
            if result == "f16":
                old = np.ascontiguousarray(before[2 * block + half]).view(np.float16).reshape(-1, 2)
                total = canonical((pair.reshape(-1, 2) + old.astype(np.float32)).astype(np.float16))
                out.append(np.ascontiguousarray(total).reshape(-1).view(np.uint32))
                continue
            for column in range(2):
                old = before[4 * block + 2 * half + column]
                out.append(add_to(pair[..., column].reshape(-1), old, result, satfinite=satfinite))
    return out


def in_flight(m: Batch) -> InFlight:
    """Return the batch's products that have not been waited for."""
    found: InFlight | None = m.units.get("wgmma")
    if found is None:
        per_block = -(-m.geometry.threads // 128)
        every = np.ones(per_block * len(m.blocks), bool)
        found = m.units["wgmma"] = InFlight(
            per_block=per_block, number_of=m.block_of * per_block + m.thread_of // 128, classes=[(every, GroupState())]
        )
    return found


def guard_accumulators(steps: Sequence[Step], names: Sequence[str]) -> None:
    """Wrap steps that access an accumulator in a check that no product is being written to it, and record the access,
    which requires a fence before the next product; the latter for fragments of A as well.
    """
    every = frozenset[int]().union(*(step.accumulators for step in steps))
    fragments = frozenset[int]().union(*(step.fragments for step in steps)) - every
    for step in steps:
        touched = (step.uses | step.defines) & every
        written = step.defines & fragments
        if (touched or written) and not step.accumulators:
            # a compiler puts moves between a fence and its product; the assembler removes those
            moves = bool(step.copies) or not step.uses
            step.run = _guarded(step, touched, frozenset() if moves else touched | written, names)


def _guarded(step: Step, touched: frozenset[int], computed: frozenset[int], names: Sequence[str]) -> Run:
    inner, place = step.run, step.place

    def run(m: Batch, r: Registers) -> None:
        for state in in_flight(m).states(m):
            early = touched & state.registers
            if early:
                words = f"{names[min(early)]} is touched before the wgmma that writes it has been waited for"
                m.fault("unfinished-copy", place, int(m.chosen(None)[0]), words, count=m.count)
            state.touched = state.touched | computed
        if inner is not None:
            inner(m, r)

    return run


def _check_fence(
    m: Batch, place: Place, state: GroupState, ordered: frozenset[int], accumulators: frozenset[int], shape: str
) -> None:
    # "The wgmma.fence instruction must be used […] before the first wgmma.mma_async operation in a warpgroup [and]
    # between a register access by a thread in the warpgroup and any wgmma.mma_async instruction that accesses the same
    # registers, either as accumulator or input register containing fragments of matrix A, except when these are
    # accumulator register accesses across multiple wgmma.mma_async instructions of the same shape."
    words = ""
    if not state.fenced:
        words = "there is no wgmma.fence before the warpgroup's first wgmma.mma_async"
    elif state.touched & ordered:
        words = "its registers were used by other instructions, and there is no wgmma.fence in between"
    elif any(state.shapes.get(slot, shape) != shape for slot in accumulators):
        words = "its accumulators are those of a product of another shape, and there is no wgmma.fence in between"
    if words:
        m.fault("race", place, int(m.chosen(None)[0]), words, count=m.count)
    state.shapes.update(dict.fromkeys(accumulators, shape))


def _fence(m: Batch) -> None:
    for state in in_flight(m).states(m):
        state.fenced, state.touched, state.shapes = True, frozenset(), {}


def _commit(m: Batch) -> None:
    for state in in_flight(m).states(m):
        state.groups.append(state.open)
        state.group_registers.append(state.open_registers)
        state.open, state.open_registers = [], frozenset()


def _wait(m: Batch, pending: int) -> None:
    for state in in_flight(m).states(m):
        while len(state.groups) > pending:
            state.group_registers.pop(0)
            for words, block, thread in state.groups.pop(0):
                if m.hazards is not None:
                    m.hazards.end_copy(words, block, thread, reads=True)


BUILDERS: dict[str, Builder] = {"wgmma": _wgmma}
