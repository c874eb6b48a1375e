"""Decoding of instructions into steps: registers, constants and special registers as slots, one closure each.

A family module registers one builder per opcode. The builder asks the `Decoder` for readers and writers of its
operands and returns the closure that executes the instruction for all active lanes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from ...payload.ptx.syntax import (
    Address,
    Element,
    Float,
    Instruction,
    Integer,
    Negated,
    Operand,
    Register,
    Sink,
    SpecialRegister,
    Symbol,
    Vector,
)
from .faults import Place, Refused
from .layout import Layout, Location
from .modifiers import Words, in_order
from .types import DTYPES, Array, Read, Registers, is_signed, resize

if TYPE_CHECKING:
    from .batch import Batch

Run = Callable[["Batch", Registers], None]
Put = Callable[[Registers, Array, "Array | None"], None]
"""Writer: (registers, values of the active lanes, mask of the lanes to write)."""
Builder = Callable[["Decoder", Instruction], "Run | None"]


def call(function: Callable[..., Array], reads: Sequence[Read]) -> Read:
    """Return a reader that applies a function to operands, without a loop if there are few."""
    if len(reads) == 1:
        (a,) = reads
        return lambda r: function(a(r))
    if len(reads) == 2:
        a, b = reads
        return lambda r: function(a(r), b(r))
    if len(reads) == 3:
        a, b, c = reads
        return lambda r: function(a(r), b(r), c(r))
    return lambda r: function(*[read(r) for read in reads])


@dataclass(slots=True)
class Control:
    """Action of the scheduler after an instruction."""

    kind: str
    """branch, switch, exit, trap, barrier, yield."""
    guard: Read | None = None
    targets: tuple[int, ...] = ()
    index: Read | None = None
    """Target of each lane, for a switch; lanes that yield, for a yield."""
    data: Any = None


@dataclass(slots=True)
class Step:
    """One decoded instruction."""

    place: Place
    run: Run | None = None
    uses: frozenset[int] = frozenset()
    """Slots whose values are used: operands and the guard."""
    defines: frozenset[int] = frozenset()
    guard: Read | None = None
    guard_slots: frozenset[int] = frozenset()
    control: Control | None = None
    members: Read | None = None
    """Mask of participating lanes, for a warp-level instruction."""
    width: int = 32
    """Number of lanes that a warp-level instruction spans: 128 for a warpgroup."""
    accumulators: frozenset[int] = frozenset()
    """Registers that an asynchronous instruction writes."""
    fragments: frozenset[int] = frozenset()
    """Registers that an asynchronous instruction reads as fragments of a matrix."""
    copies: tuple[int, ...] = ()
    """Slots that a `mov` copies."""
    conditional: frozenset[int] = frozenset()
    """Slots that are read only by the lanes for which `needs` is true."""
    needs: Read | None = None
    parameter: tuple[int, int] | None = None
    """Offset and bytes, for a load from the kernel's parameters."""
    loads_pointer: bool = False
    """True for a load of a value that is wide enough to be an address."""
    stores: frozenset[int] = frozenset()
    """Slots that make up the address, for a store or an atomic operation on device memory."""
    awaits: bool = False
    """True for a strong read of device memory, or an atomic operation with a result: loops wait with these."""
    pure: bool = False
    """True if the step only computes its result from its operands."""
    loads_early: bool = False
    """True for a load from shared or local memory, whose unwritten bytes are tracked to their use."""
    takes: Read | None = None
    """Mask of the lanes that take the first operand, for a `selp`."""
    between: tuple[int | None, int | None] = (None, None)
    """The slots of those two; None for a constant."""


@dataclass(slots=True)
class Slots:
    """Types and initial values of the slots of the register list."""

    dtypes: list[np.dtype[Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    registers: dict[tuple[int, str], int] = field(default_factory=dict)
    constants: dict[tuple[str, int], int] = field(default_factory=dict)
    values: dict[int, Array] = field(default_factory=dict)
    """Constants by slot, [1]."""
    special: dict[str, int] = field(default_factory=dict)
    symbols: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Addresses that are only known at launch: slot → (module variable, offset)."""

    def new(self, dtype: np.dtype[Any], name: str) -> int:
        """Return a new slot."""
        self.dtypes.append(dtype)
        self.names.append(name)
        return len(self.dtypes) - 1


class Decoder:
    """Decoder of the instructions of one kernel."""

    def __init__(self, layout: Layout, target: Callable[[int, str], int | None]) -> None:
        self.layout, self._target = layout, target
        self.slots = Slots()
        self.frame = 0
        self.place = Place(line=0, column=0, text="")
        self.step = Step(place=self.place)
        self._uses: set[int] = set()
        self._defines: set[int] = set()
        self.guard: Read | None = None
        self.smallest_shared_access = 16
        self.smallest_global_access = 16

    def decode(self, instruction: Instruction, frame: int, place: Place, builder: Builder) -> Step:
        """Return the step of an instruction. Raises `Refused`."""
        self.frame, self.place = frame, place
        self.step = Step(place=place)
        self._uses, self._defines = set(), set()
        self.guard, guard_slots = self._guard(instruction)
        words = Words(in_order(instruction.opcode))
        self.step.run = builder(self, Instruction(words, instruction.operands, instruction.guard, instruction.span))
        unasked = words.unasked()
        if unasked and words[0][0] != "<":
            raise Refused(f"the modifier .{unasked[0]} of {'.'.join(instruction.opcode)}")
        self.step.guard, self.step.guard_slots = self.guard, guard_slots
        self.step.uses = frozenset(self._uses | guard_slots)
        self.step.defines = frozenset(self._defines)
        return self.step

    def _guard(self, instruction: Instruction) -> tuple[Read | None, frozenset[int]]:
        if instruction.guard is None:
            return None, frozenset()
        register = instruction.guard.register
        if not isinstance(register, Register):
            raise Refused(f"a guard on {register.name}, which is not declared")
        slot = self.slot(register)
        read: Read = itemgetter(slot)
        if instruction.guard.negated:
            return (lambda r: ~r[slot]), frozenset({slot})
        return read, frozenset({slot})

    # -- operands ---------------------------------------------------------------------------------------------------
    def slot(self, register: Register) -> int:
        """Return the slot of a register. Raises `Refused`."""
        key = (self.frame, register.name)
        found = self.slots.registers.get(key)
        if found is None:
            if register.type not in DTYPES:
                raise Refused(f"a register of type .{register.type}")
            found = self.slots.registers[key] = self.slots.new(DTYPES[register.type], register.name)
        return found

    def constant(self, value: int, dtype: np.dtype[Any]) -> int:
        """Return the slot of a bit pattern."""
        size = 8 if dtype == np.bool_ else 8 * dtype.itemsize
        value &= (1 << size) - 1
        key = (dtype.str, value)
        found = self.slots.constants.get(key)
        if found is None:
            found = self.slots.constants[key] = self.slots.new(dtype, f"{value:#x}")
            raw = np.array([value], f"u{dtype.itemsize}") if dtype != np.bool_ else np.array([bool(value)])
            self.slots.values[found] = raw.view(dtype)
        return found

    def special(self, name: str) -> int:
        """Return the slot of a special register."""
        found = self.slots.special.get(name)
        if found is None:
            wide = name in ("%clock64", "%globaltimer") or name.startswith("%gridid")
            found = self.slots.special[name] = self.slots.new(DTYPES["u64" if wide else "u32"], name)
        return found

    def read(self, operand: Operand, type_: str) -> Read:
        """Return a reader of an operand as values of a type ([1] or [lanes])."""
        dtype = DTYPES[type_]
        if isinstance(operand, Register):
            slot = self.slot(operand)
        elif isinstance(operand, Negated):
            slot = self.slot(operand.register)
            self._uses.add(slot)
            return lambda r: ~r[slot]
        elif isinstance(operand, SpecialRegister):
            slot = self._special(operand)
        elif isinstance(operand, Element):
            return self._element(operand, dtype)
        else:
            slot = self._literal(operand, type_, dtype)
        self._uses.add(slot)
        if self.slots.dtypes[slot] == dtype:
            return itemgetter(slot)
        signed = is_signed(type_)
        if self.slots.dtypes[slot].itemsize == dtype.itemsize and np.bool_ not in (dtype, self.slots.dtypes[slot]):
            return lambda r: r[slot].view(dtype)
        return lambda r: resize(r[slot], dtype, signed=signed)

    def _special(self, operand: SpecialRegister) -> int:
        if operand.name == "WARP_SZ":
            return self.constant(32, DTYPES["u32"])
        if operand.name.startswith(("%cluster", "%ncluster", "%is_explicit")):
            raise Refused(f"clusters ({operand.name})")
        return self.special(operand.name)

    def _literal(self, operand: Operand, type_: str, dtype: np.dtype[Any]) -> int:
        if isinstance(operand, Integer):
            if type_ in ("f32", "f64"):
                return self.constant(int(np.array([operand.value], dtype).view(f"u{dtype.itemsize}")[0]), dtype)
            if type_ == "pred":
                return self.constant(int(bool(operand.value)), dtype)
            return self.constant(operand.value, dtype)
        if isinstance(operand, Float):
            if operand.width == 8 * dtype.itemsize:
                return self.constant(operand.bits, dtype)
            kind = f"f{dtype.itemsize}"
            if dtype.itemsize < 2:
                raise Refused(f"a floating-point constant as .{type_}")
            return self.constant(int(np.array([operand.value], kind).view(f"u{dtype.itemsize}")[0]), dtype)
        if isinstance(operand, Symbol):
            return self._symbol(operand, dtype)
        raise Refused(f"an operand of this kind: {type(operand).__name__}")

    def _element(self, operand: Element, dtype: np.dtype[Any]) -> Read:
        """Return the address of an element of a variable."""
        base = operand.base
        slot = self._symbol(Symbol(base.name, base.kind, base.offset + operand.offset), DTYPES["s64"])
        self._uses.add(slot)
        if operand.index is None:
            return lambda r: resize(r[slot], dtype, signed=True)
        index, scale = self.read(operand.index, "s" + operand.index.type[1:]), np.int64(operand.scale)
        return lambda r: resize(r[slot] + index(r).astype(np.int64) * scale, dtype, signed=True)

    def _symbol(self, operand: Symbol, dtype: np.dtype[Any]) -> int:
        if operand.kind == "function" and operand.name in self.layout.functions:
            return self.constant(self.layout.functions[operand.name], dtype)
        location = self.locate(operand.name)
        if location.space in ("global", "const"):
            slot = self.slots.new(dtype, operand.name)
            self.slots.symbols[slot] = (operand.name, operand.offset)
            return slot
        return self.constant(location.offset + operand.offset, dtype)

    def locate(self, name: str) -> Location:
        """Return the location of a variable. Raises `Refused`."""
        found = self.layout.find(self.frame, name)
        if found is None:
            raise Refused(f"{name}, which is declared nowhere")
        return found

    def put(self, operand: Operand, type_: str) -> Put:
        """Return a writer of values of a type to a destination."""
        if isinstance(operand, Sink):
            return lambda r, value, keep: None
        if not isinstance(operand, Register):
            raise Refused("a destination that is no register")
        slot = self.slot(operand)
        self._defines.add(slot)
        dtype, signed = self.slots.dtypes[slot], is_signed(type_)
        same = dtype == DTYPES[type_]

        def write(r: Registers, value: Array, keep: Array | None) -> None:
            if not same:
                value = resize(value, dtype, signed=signed)
            if keep is None or keep.all():
                r[slot] = value
            elif keep.any():
                r[slot] = np.where(keep, value, r[slot])

        return write

    def put_some(self, operand: Operand, type_: str) -> Callable[[Registers, Array, Array | None, int], None]:
        """Return a writer of values for some of the active lanes: (registers, values, where, count)."""
        if isinstance(operand, Sink):
            return lambda r, value, where, count: None
        if not isinstance(operand, Register):
            raise Refused("a destination that is no register")
        slot = self.slot(operand)
        self._defines.add(slot)
        dtype, signed = self.slots.dtypes[slot], is_signed(type_)

        def write(r: Registers, value: Array, where: Array | None, count: int) -> None:
            value = resize(value, dtype, signed=signed)
            if where is None:
                r[slot] = value
            else:
                whole = np.broadcast_to(r[slot], (count,)).copy()
                whole[where] = value
                r[slot] = whole

        return write

    def pure(self, destination: Operand, type_: str, compute: Read) -> Run:
        """Return the closure of an instruction that only computes."""
        guard = self.guard
        self.step.pure = True
        put = self.put(destination, type_)
        if isinstance(destination, Register):
            slot = self.slot(destination)
            if self.slots.dtypes[slot] == DTYPES[type_] and guard is None:

                def simple(m: Batch, r: Registers) -> None:
                    r[slot] = compute(r)

                return simple
        if guard is None:
            return lambda m, r: put(r, compute(r), None)
        chosen = guard

        def guarded(m: Batch, r: Registers) -> None:
            keep = chosen(r)
            if keep.any():
                put(r, compute(r), keep)

        return guarded

    def address(self, operand: Operand) -> tuple[Read, Location | None]:
        """Return a reader of byte addresses as int64, and the location if a variable is named."""
        if isinstance(operand, Element):
            return self._element(operand, DTYPES["s64"]), self.locate(operand.base.name)
        if not isinstance(operand, Address):
            raise Refused("an operand that should be an [address]")
        if operand.coordinates is not None:
            raise Refused("tensor maps and textures ([map, {x, y}])")
        offset = operand.offset
        if isinstance(operand.base, Register):
            slot = self.slot(operand.base)
            self._uses.add(slot)
            wide = self.slots.dtypes[slot].itemsize == 8
            if wide and not offset:
                return (lambda r: r[slot].view(np.int64)), None
            if wide:
                step = np.int64(offset)
                return (lambda r: r[slot].view(np.int64) + step), None
            narrow = np.dtype(f"u{self.slots.dtypes[slot].itemsize}")
            step = np.int64(offset)
            return (lambda r: r[slot].view(narrow).astype(np.int64) + step), None
        if isinstance(operand.base, Integer):
            slot = self.constant(operand.base.value + offset, DTYPES["s64"])
            self._uses.add(slot)
            return itemgetter(slot), None
        location = self.locate(operand.base.name)
        slot = self._symbol(Symbol(operand.base.name, operand.base.kind, offset), DTYPES["s64"])
        self._uses.add(slot)
        return itemgetter(slot), location

    def note_load(self, space: str) -> None:
        """Mark the step as a load from `space` that tracks unwritten bytes (`Batch.deferred`)."""
        self.step.loads_early = space in ("shared", "local", "generic")

    def note_store(self, space: str, size: int) -> None:
        """Record a write of `size` bytes to `space`. To be called after `address`."""
        if space in ("global", "generic"):
            self.smallest_global_access = min(self.smallest_global_access, size)
            self.step.stores = frozenset(self._uses)

    def elements(self, operand: Operand) -> tuple[Operand, ...]:
        """Return the parts of `{a, b}`; a single operand is one part."""
        return operand.elements if isinstance(operand, Vector) else (operand,)

    def target(self, operand: Operand) -> int:
        """Return the position of a label. Raises `Refused`."""
        found = self._target(self.frame, operand.name) if isinstance(operand, Symbol) else None
        if found is None:
            raise Refused("a branch to something that is no label")
        return found

    def add_use(self, slot: int) -> None:
        """Record a slot that is read outside of `read`."""
        self._uses.add(slot)
