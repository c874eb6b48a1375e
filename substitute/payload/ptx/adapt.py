"""Binding of a canonical-ABI entry to a dispatch: IREE's parameters replace its own, and moves its parameter loads.

The values (a binding's pointer plus offsets, sizes from push constants) are computed once at the start of the entry;
ptxas propagates the moves, so that no trace of the canonical ABI is left in the machine code.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from ...errors import PayloadError
from ...model.index import Index
from ...model.parameter import decode, encode, passed_type
from .body import parameter_accesses
from .faults import fault, source_of
from .prologue import Prologue, literal
from .rename import Edit, edited, renaming
from .syntax import TYPE_BITS, Address, Function, Instruction, Module, Operand, Parameter, Register, Sink, Span, Vector
from .unreachable import debug_edits

MAX_DATA_BYTES = 64 * 1024
"""Limit of the constants of a dispatch's body that are written into the PTX."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """The address of a binding, plus an offset in bytes."""

    name: str
    binding: int
    byte_offset: Index = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The address of constant data, which becomes a variable of the module."""

    name: str
    data: bytes
    byte_offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """An integer."""

    name: str
    value: Index


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A parameter of the definition: a number, a push constant's bits, or one element in memory."""

    name: str
    type: str
    """Its own type, which may be shorter than the one in which it is passed."""
    bits: Index = 0
    pointer: Pointer | None = None


Argument = Pointer | Data | Scalar | Value


def adapt(
    module: Module, entry: Function, arguments: tuple[Argument, ...], *, bindings: int, constants: int, export_name: str
) -> str:
    """Return the module's text with the entry renamed and taking `bindings` pointers and `constants` words.

    `arguments` are the values of the entry's first parameters; further ones (Triton's scratch pointers) may not be
    used. Raises `PayloadError` for a use of a parameter that is not a plain load.
    """
    prefix = _fresh(module)
    prologue = Prologue(prefix)
    by_name = {p.name: (p, a) for p, a in zip(entry.parameters, arguments, strict=False)}
    values: dict[str, str] = {}
    edits = renaming(module, entry, export_name)
    data: list[str] = []
    for instruction, symbol in parameter_accesses(entry, frozenset(p.name for p in entry.parameters)):
        if symbol.name not in by_name:
            raise _scratch_used(module, instruction, symbol.name)
        parameter, argument = by_name[symbol.name]
        _check_load(module, instruction)
        if parameter.name not in values:
            values[parameter.name] = _value(module, prologue, parameter, argument, data)
        moves = _moves(module, prologue, instruction, parameter, values[parameter.name])
        edits.append((instruction.span, " ".join(moves)))
    lines = [*prologue.declarations(), *prologue.lines]
    text = "".join(f"\n\t{line}" for line in ("// IREE's parameters, decoded", *lines)) if lines else ""
    opening = entry.body_span.start + 1
    edits.append((Span(opening, opening), text))
    edits.append((entry.parameters_span, _signature(prologue, bindings, constants)))
    if data:
        edits.append((Span(entry.span.start, entry.span.start), "\n".join(data) + "\n"))
    edits += _debug_edits(module, entry)
    return edited(module.text, _merged(edits))


def _merged(edits: list[Edit]) -> list[Edit]:
    """Merge insertions at one place, in their order (`.visible` after data)."""
    result: dict[tuple[int, int], str] = {}
    for span, text in sorted(edits, key=lambda e: (e[0].start, e[0].end, e[1].startswith(".visible"))):
        result[span.start, span.end] = result.get((span.start, span.end), "") + text
    return [(Span(start, end), text) for (start, end), text in result.items()]


def _fresh(module: Module) -> str:
    prefix = "substitute"
    while f"{prefix}_" in module.text:
        prefix += "_"
    return prefix


def _signature(prologue: Prologue, bindings: int, constants: int) -> str:
    names = [f".param .u64 {prologue.binding(i)}" for i in range(bindings)]
    names += [f".param .u32 {prologue.constant(i)}" for i in range(constants)]
    return "(\n\t" + ",\n\t".join(names) + "\n)" if names else "()"


def _value(module: Module, prologue: Prologue, parameter: Parameter, argument: Argument, data: list[str]) -> str:
    """Return a register of the parameter's width, or a literal."""
    if isinstance(argument, Pointer):
        _check_alignment(module, parameter, argument.byte_offset)
        return prologue.pointer(argument.binding, argument.byte_offset)
    if isinstance(argument, Data):
        return _data_address(module, prologue, parameter, argument, data)
    if isinstance(argument, Value):
        return _parameter_value(prologue, argument)
    if TYPE_BITS[parameter.type] == 64:
        return prologue.wide(argument.value)
    if isinstance(argument.value, int):
        low, high = (-(1 << 31), 1 << 31) if parameter.type[0] == "s" else (0, 1 << 32)
        if not low <= argument.value < high:
            raise fault(
                module,
                parameter.span.start,
                f"{argument.name} does not fit parameter {parameter.name}",
                expected=f"a number from {low} to {high - 1} (.{parameter.type})",
                found=str(argument.value),
                next_step=f"declare it .{parameter.type[0]}64",
            )
    return prologue.word(argument.value)


def _parameter_value(prologue: Prologue, argument: Value) -> str:
    """Return a register that holds a parameter of the definition in the type in which it is passed, or a literal."""
    passed = passed_type(argument.type)
    if argument.pointer is not None:
        address = prologue.pointer(argument.pointer.binding, argument.pointer.byte_offset)
        return prologue.widened(argument.type, prologue.loaded(argument.type, address))
    if isinstance(argument.bits, int):
        bits = encode(decode(argument.bits, argument.type), passed)
        return literal(bits) if passed.endswith("64") else str(bits)
    if passed.endswith("64"):
        return prologue.wide(argument.bits)
    return prologue.widened(argument.type, prologue.word(argument.bits))


def _check_alignment(module: Module, parameter: Parameter, offset: Index) -> None:
    """Check that a constant offset does not break the promise of `.ptr .align 16`."""
    if isinstance(offset, int) and offset % parameter.pointer_alignment:
        raise fault(
            module,
            parameter.span.start,
            f"{parameter.name} is not aligned as the entry takes for granted",
            expected=f"a multiple of {parameter.pointer_alignment} bytes (.ptr .align)",
            found=f"byte offset {offset} in its binding",
            next_step="write loads that need less alignment, and a smaller .align",
        )


def _data_address(module: Module, prologue: Prologue, parameter: Parameter, argument: Data, data: list[str]) -> str:
    if len(argument.data) > MAX_DATA_BYTES:
        raise fault(
            module,
            parameter.span.start,
            f"{argument.name} is a constant inside of the dispatch, and too large",
            expected=f"at most {MAX_DATA_BYTES} bytes",
            found=f"{len(argument.data)} bytes",
            next_step="leave this dispatch to IREE",
        )
    name = f"{prologue.prefix}_data_{len(data)}"
    numbers = ", ".join(map(str, argument.data))
    data.append(f".global .align 16 .b8 {name}[{len(argument.data)}] = {{{numbers}}};")
    address, generic = prologue.new("d"), prologue.new("d")
    prologue.lines.append(f"mov.u64 {address}, {name};")
    prologue.lines.append(f"cvta.global.u64 {generic}, {address};")
    if not argument.byte_offset:
        return generic
    moved = prologue.new("d")
    prologue.lines.append(f"add.s64 {moved}, {generic}, {argument.byte_offset};")
    return moved


def _scratch_used(module: Module, instruction: Instruction, name: str) -> PayloadError:
    return fault(
        module,
        instruction.span.start,
        f"the entry uses {name}, which nothing stands for",
        expected="trailing parameters that are not used (Triton's global_scratch and profile_scratch)",
        found=source_of(module, instruction),
        next_step="compile the kernel without scratch memory",
    )


def _check_load(module: Module, instruction: Instruction) -> None:
    """Check that a load is `ld.param.TYPE d, [parameter + offset]`, the only form that can be rewritten."""
    opcode, operands = instruction.opcode, instruction.operands
    plain = opcode[:1] == ("ld",) and len(opcode) > 2 and opcode[1] in ("param", "param::entry")
    rest = opcode[2:-1]
    if plain and set(rest) <= {"v2", "v4", "weak"} and len(operands) == 2 and isinstance(operands[1], Address):
        return
    what = "takes a parameter's address" if opcode[0] in ("mov", "cvta") else "uses a parameter other than by ld.param"
    raise fault(
        module,
        instruction.span.start,
        f"the entry {what}",
        expected="ld.param.TYPE register, [parameter]",
        found=source_of(module, instruction),
        next_step="load the parameter into a register first (in CUDA C: pass no struct by value, take no address)",
    )


def _moves(
    module: Module, prologue: Prologue, instruction: Instruction, parameter: Parameter, value: str
) -> Iterator[str]:
    """Yield the instructions that replace one load."""
    operands, address = instruction.operands, instruction.operands[1]
    assert isinstance(address, Address)
    type_ = instruction.opcode[-1]
    size = TYPE_BITS.get(type_, 0) // 8
    targets = operands[0].elements if isinstance(operands[0], Vector) else (operands[0],)
    guard = instruction.guard
    start = "" if guard is None else f"@{'!' if guard.negated else ''}{_spelled(guard.register.name)} "
    for number, target in enumerate(targets):
        offset = address.offset + number * size
        if not size or offset % size or not 0 <= offset <= parameter.size_bytes - size:
            raise fault(
                module,
                instruction.span.start,
                f"the entry reads outside of parameter {parameter.name}",
                expected=f"bytes 0 to {parameter.size_bytes - 1}, .{parameter.type}",
                found=source_of(module, instruction),
                next_step="load each parameter by its own name",
            )
        for line in _move(module, prologue, instruction, target, value, (parameter.size_bytes, offset, type_)):
            yield start + line


def _move(
    module: Module,
    prologue: Prologue,
    instruction: Instruction,
    target: Operand,
    value: str,
    part: tuple[int, int, str],
) -> Iterator[str]:
    """Return the move to one destination: `part` is the parameter's size, the offset in it, and the type of the
    load.
    """
    whole, offset, type_ = part
    bits = TYPE_BITS[type_]
    if isinstance(target, Sink):
        return
    if not isinstance(target, Register) or TYPE_BITS[target.type] < max(bits, 16):
        raise fault(
            module,
            instruction.span.start,
            "a parameter cannot be moved into this register",
            expected=f"a register of at least {max(bits, 16)} bits",
            found=source_of(module, instruction),
            next_step="load it into a wider register",
        )
    name, width = _spelled(target.name), TYPE_BITS[target.type]
    if bits < whole * 8:
        value = yield from _piece(prologue, value, whole, offset, bits)
    if bits == width and bits >= 32 and target.type[0] == "f" and _is_literal(value):
        number = int(value) & ((1 << bits) - 1)
        yield f"mov.f{bits} {name}, 0{'f' if bits == 32 else 'd'}{number:0{bits // 4}X};"
    elif bits == width and (bits >= 32 or _is_literal(value)):
        yield f"mov.b{width} {name}, {value};"
    elif _is_literal(value):
        number = int(value) & ((1 << bits) - 1)
        signed = type_[0] == "s" and number >> (bits - 1)
        yield f"mov.b{width} {name}, {literal(number - (1 << bits) if signed else number)};"
    else:
        sign = "s" if type_[0] == "s" else "u"
        yield f"cvt.{sign}{width}.{sign}{bits} {name}, {value};"


def _piece(prologue: Prologue, value: str, whole: int, offset: int, bits: int) -> Generator[str, None, str]:
    """Return the `bits` at `offset` of a value of `whole` bytes; below 32 bits in a wider register."""
    if _is_literal(value):
        return literal(int(value) >> 8 * offset & ((1 << bits) - 1))
    if offset:
        shifted = prologue.new("d" if whole == 8 else "w")
        yield f"shr.u{whole * 8} {shifted}, {value}, {8 * offset};"
        value = shifted
    if whole == 8:
        low = prologue.new("w")
        yield f"cvt.u32.u64 {low}, {value};"
        value = low
    return value


def _spelled(name: str) -> str:
    """Return the name as in the text, whose scope is the same as before."""
    return name.partition("#")[0]


def _is_literal(value: str) -> bool:
    return not value.startswith("%")


def _debug_edits(module: Module, entry: Function) -> list[Edit]:
    """Return edits that remove debug data about removed parameters."""
    names = {p.name for p in entry.parameters}
    words = set()
    for span in module.sections:
        words |= names & set(module.text[span.start : span.end].split())
    return debug_edits(module) if words else []
