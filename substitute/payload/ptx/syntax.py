"""A PTX module as data: the parsed text, with names resolved and places kept.

Source: PTX ISA 9.0, chapters 4 "Syntax", 5 "State Spaces, Types, and Variables", 6 "Instruction Operands", 11
"Directives".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...errors import SourceText

Space = Literal["global", "shared", "local", "const", "param"]
Linkage = Literal["", "extern", "visible", "weak", "common"]
SymbolKind = Literal["global", "shared", "local", "const", "param", "function", "label", "unknown"]
TYPE_BITS: dict[str, int] = {
    **{f"{letter}{bits}": bits for letter in "usb" for bits in (8, 16, 32, 64)},
    "b128": 128,
    "f16": 16,
    "f32": 32,
    "f64": 64,
    "bf16": 16,
    "f16x2": 32,
    "bf16x2": 32,
    "tf32": 32,
    "e4m3": 8,
    "e5m2": 8,
    "e4m3x2": 16,
    "e5m2x2": 16,
    "pred": 1,
}
"""Bits of the types that variables, registers and parameters can have."""


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:end]`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Register:
    """A scalar register. A `.v2`/`.v4` register is a `Vector` of its components `v.x`, `v.y`, …"""

    name: str
    """Unique in its function: a name that an inner scope declares again has the suffix `#2`, `#3`, …."""
    type: str
    """`b32`, `f64`, `pred`, … without the dot."""


@dataclass(frozen=True, slots=True)
class SpecialRegister:
    """`%tid.x`, `%laneid`, `%clock64`, …, and `WARP_SZ`."""

    name: str


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer constant or a constant expression of integers."""

    value: int


@dataclass(frozen=True, slots=True)
class Float:
    """`0f3F800000`, `0d…` or `1.5`."""

    value: float
    """The number; decimal constants and `0d…` are in double precision."""
    bits: int
    """Its bit pattern in `width` bits."""
    width: Literal[32, 64]


@dataclass(frozen=True, slots=True)
class Symbol:
    """The address of a variable, a parameter, a function; or a label."""

    name: str
    """Unique in its function, like a register's."""
    kind: SymbolKind
    """`unknown` if it is not declared."""
    offset: int = 0
    """Bytes: `tile + 16`."""


@dataclass(frozen=True, slots=True)
class Address:
    """`[base + offset]`, `[4096]`, or `[map, {x, y}]`."""

    base: Register | Symbol | Integer
    offset: int = 0
    """Bytes, including those after a symbol, so that the base's own offset is 0."""
    coordinates: Vector | None = None
    """Coordinates of a tensor map or a texture."""


@dataclass(frozen=True, slots=True)
class Element:
    """`table[2]`, `table[%r + 1]`: an element of a variable, as an address or as what a load reads."""

    base: Symbol
    index: Register | None
    offset: int
    """Bytes."""
    scale: int
    """Bytes of an element, by which the index counts."""


@dataclass(frozen=True, slots=True)
class Vector:
    """`{a, b, _, 0}`."""

    elements: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Arguments:
    """The parenthesised lists of a `call`."""

    elements: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """`p|q`: two destinations (`setp`, `shfl`, `match`, `elect`)."""

    first: Operand
    second: Operand


@dataclass(frozen=True, slots=True)
class Negated:
    """`!p` as an operand."""

    register: Register


@dataclass(frozen=True, slots=True)
class Part:
    """`%r.b2` or `%r.h1`: a byte or a half of a register (video instructions)."""

    register: Register
    name: str


@dataclass(frozen=True, slots=True)
class Sink:
    """`_`: a destination that is discarded."""


Operand = (
    Register
    | SpecialRegister
    | Integer
    | Float
    | Symbol
    | Address
    | Element
    | Vector
    | Arguments
    | Pair
    | Negated
    | Part
    | Sink
)


@dataclass(frozen=True, slots=True)
class Guard:
    """`@p` or `@!p`."""

    register: Register | Symbol
    """A symbol of kind `unknown` if the register is not declared."""
    negated: bool


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction."""

    opcode: tuple[str, ...]
    """`ld.shared::cta.v4.f32` is `("ld", "shared::cta", "v4", "f32")`."""
    operands: tuple[Operand, ...]
    guard: Guard | None
    span: Span
    """From the guard or the opcode to the semicolon, which is part of it."""


@dataclass(frozen=True, slots=True)
class Label:
    """`name:`."""

    name: str
    """Unique in its function."""
    span: Span


Statement = Instruction | Label


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterDeclaration:
    """`.reg .b32 %r<100>` or `.reg .v4 .f32 v`."""

    name: str
    """Unique in its function; for a family the text before the number."""
    type: str
    vector: Literal[1, 2, 4]
    count: int | None
    """Registers of a family (`%r0` … `%r99`), None for a single one."""
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Initial:
    """One element of an initialiser that is an address: `generic(x) + 4`, `0xFF(x)`."""

    symbol: str
    offset: int = 0
    generic: bool = False
    mask: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable outside of registers, of a module or of a function."""

    name: str
    """Unique in its function."""
    space: Space
    type: str
    vector: Literal[1, 2, 4] = 1
    count: int | None
    """Elements over all dimensions, 1 for a scalar; None for `[]`, whose size is given elsewhere."""
    alignment: int
    """Bytes; the natural one if the text has none."""
    linkage: Linkage = ""
    initial: tuple[int | Float | Initial, ...] | None = None
    """Values in memory order; the rest is zero."""
    span: Span

    @property
    def element_bytes(self) -> int:
        """Bytes of one element."""
        return TYPE_BITS.get(self.type, 64) // 8 * self.vector

    @property
    def size_bytes(self) -> int:
        """Bytes of all elements; 0 for `[]`."""
        return self.element_bytes * (self.count or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter, or a return parameter, of a function."""

    name: str
    type: str
    count: int | None
    """Elements of an array, 1 for a scalar; None for `[]`."""
    array: bool
    alignment: int
    """Bytes."""
    register: bool
    """`.reg` rather than `.param` (functions only)."""
    vector: Literal[1, 2, 4] = 1
    pointer: Space | Literal["generic"] | None = None
    """The space that `.ptr` names; None without `.ptr`."""
    pointer_alignment: int = 1
    """Bytes: the alignment of the passed address that `.ptr .align` promises."""
    span: Span

    @property
    def size_bytes(self) -> int:
        """Bytes in the parameter space."""
        return max(1, TYPE_BITS.get(self.type, 64) // 8) * self.vector * (self.count or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """`.reqntid 128, 1, 1`, `.minnctapersm 2`, `.pragma "nounroll"`, …"""

    name: str
    """Without the dot."""
    values: tuple[int, ...]
    text: str = ""
    """A pragma's string."""
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`name: .branchtargets a, b;`, `.calltargets` or `.callprototype`."""

    name: str
    kind: Literal["branchtargets", "calltargets", "callprototype"]
    targets: tuple[str, ...]
    """Labels or functions; empty for a prototype."""
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """An `.entry`, or a `.func` with or without a body."""

    name: str
    is_entry: bool
    linkage: Literal["", "extern", "visible", "weak"]
    parameters: tuple[Parameter, ...]
    results: tuple[Parameter, ...]
    """Return parameters of a `.func`."""
    directives: tuple[Directive, ...]
    registers: tuple[RegisterDeclaration, ...]
    variables: tuple[Variable, ...]
    """Variables of its body; `param` ones belong to calls."""
    tables: tuple[Table, ...]
    body: tuple[Statement, ...] | None
    """Statements in order, inner scopes flattened; None for a declaration without a body."""
    span: Span
    """From the linkage or `.entry` to the closing brace."""
    name_span: Span
    parameters_span: Span
    """The parenthesised list, both parentheses included; empty after the name if there is none."""
    body_span: Span
    """The braces, both included; empty where there is no body."""

    def directive(self, name: str) -> Directive | None:
        """Return the first directive of this name."""
        return next((d for d in self.directives if d.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A PTX file."""

    name: str
    """The file's name in messages."""
    text: str
    version: tuple[int, int]
    version_span: Span
    targets: tuple[str, ...]
    """`sm_80`, and options such as `debug` or `texmode_independent`."""
    target_span: Span
    address_size: int
    """32 if the text does not name one (PTX ISA 11.1.3)."""
    functions: tuple[Function, ...]
    """In the text's order; a prototype and its definition are two."""
    variables: tuple[Variable, ...]
    """Variables of the module."""
    aliases: tuple[tuple[str, str], ...]
    """`.alias name, aliasee`."""
    sections: tuple[Span, ...]
    """`.section name { … }`: debug data, which is not read."""

    @property
    def target(self) -> str:
        """The architecture."""
        return self.targets[0]

    @property
    def entries(self) -> tuple[Function, ...]:
        """The kernels."""
        return tuple(f for f in self.functions if f.is_entry)

    def entry(self, name: str) -> Function | None:
        """Return the entry of this name."""
        return next((f for f in self.functions if f.is_entry and f.name == name), None)

    def function(self, name: str) -> Function | None:
        """Return the function of this name, or of which it is an alias: the one with a body, else its declaration."""
        name = dict(self.aliases).get(name, name)
        found = [f for f in self.functions if f.name == name]
        return next((f for f in found if f.body is not None), found[0] if found else None)

    def place(self, at: int) -> SourceText:
        """Return line, column and the line's text for a position in the text."""
        return place(self.text, at)


def place(text: str, at: int) -> SourceText:
    """Return the line that holds position `at`."""
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    line = text[start : end if end >= 0 else len(text)].rstrip("\r")
    return SourceText(line=text.count("\n", 0, at) + 1, column=at - start + 1, text=line.replace("\t", " "))
