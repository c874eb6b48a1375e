"""Resolution of names inside of a function: registers, variables, labels, inner scopes.

Source: PTX ISA 9.0, 4.4 "Identifiers", 5.4.4 "Parameterized Variable Names", 6.4.2 "Vectors as Operands".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .syntax import Operand, Part, Register, Sink, SpecialRegister, Symbol, SymbolKind, Vector

_SPECIAL = re.compile(
    r"%(?:(?:tid|ntid|ctaid|nctaid|clusterid|nclusterid|cluster_ctaid|cluster_nctaid)(?:\.[xyz])?"
    r"|cluster_ctarank|cluster_nctarank|is_explicit_cluster|laneid|warpid|nwarpid|smid|nsmid|gridid"
    r"|lanemask_(?:eq|le|lt|ge|gt)|clock(?:_hi|64)?|pm\d+(?:_64)?|envreg\d+|globaltimer(?:_lo|_hi)?"
    r"|reserved_smem_offset_(?:begin|end|cap|[01])|total_smem_size|aggr_smem_size|dynamic_smem_size"
    r"|current_graph_exec)"
)
_PARTS = ("b0", "b1", "b2", "b3", "h0", "h1")
COMPONENTS = (("x", "r"), ("y", "g"), ("z", "b"), ("w", "a"))


@dataclass(slots=True)
class Scope:
    """The names of one pair of braces."""

    parent: Scope | None = None
    names: dict[str, Operand] = field(default_factory=dict)
    families: dict[str, tuple[str, str, int, int]] = field(default_factory=dict)
    """Text before the number → (unique name, type, vector, count)."""
    labels: dict[str, str] = field(default_factory=dict)
    """Label → unique name."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Unique names of variables → bytes of an element of their scalar type."""
    known: dict[str, Operand] = field(default_factory=dict)
    """Names that were resolved before."""

    def find(self, name: str) -> Operand | None:
        """Return the operand of a name; None if it is not declared so far (it may be a label)."""
        found = self.known.get(name)
        if found is None:
            found = self._find(name)
            if found is not None:
                self.known[name] = found
        return found

    def _find(self, name: str) -> Operand | None:
        if name == "_":
            return Sink()
        scope: Scope | None = self
        while scope is not None:
            found = scope.names.get(name) or scope.member(name)
            if found is not None:
                return found
            scope = scope.parent
        if name == "WARP_SZ" or _SPECIAL.fullmatch(name):
            return SpecialRegister(name)
        return self._component(name)

    def member(self, name: str) -> Operand | None:
        """Return `%r7` of a family `%r<8>` that this scope declares. A family's own name may end in a digit."""
        for cut in range(len(name) - 1, 0, -1):
            if not name[cut].isdigit():
                return None
            family = self.families.get(name[:cut])
            number = name[cut:]
            if family and int(number) < family[3] and (number == "0" or number[0] != "0"):
                return registers(f"{family[0]}{number}", family[1], family[2])
        return None

    def _component(self, name: str) -> Operand | None:
        """Return `v.x` of a vector register."""
        whole, dot, part = name.rpartition(".")
        if not dot:
            return None
        vector = self.find(whole)
        if isinstance(vector, Register) and part in _PARTS:
            return Part(vector, part)
        at = next((n for n, names in enumerate(COMPONENTS) if part in names), None)
        if isinstance(vector, Vector) and at is not None and at < len(vector.elements):
            return vector.elements[at]
        return None

    def element_bytes(self, name: str) -> int:
        """Return the bytes of an element of a variable, by its unique name; 0 for another name."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.sizes:
                return scope.sizes[name]
            scope = scope.parent
        return 0

    def add(self, name: str, operand: Operand) -> None:
        """Declare a name."""
        self.names[name] = operand
        self.known.pop(name, None)


@dataclass(slots=True)
class UniqueNames:
    """Source of names for inner scopes, unique in their function and different from those of the module."""

    used: dict[str, int] = field(default_factory=dict)

    def take(self, name: str) -> str:
        """Return `name`, or `name#2`, `name#3`, … if it is taken."""
        count = self.used.get(name, 0) + 1
        self.used[name] = count
        return name if count == 1 else f"{name}#{count}"


def registers(name: str, type_: str, vector: int) -> Register | Vector:
    """Return the operand of a register's name."""
    if vector == 1:
        return Register(name, type_)
    return Vector(tuple(Register(f"{name}.{COMPONENTS[n][0]}", type_) for n in range(vector)))


def symbol(name: str, kind: SymbolKind) -> Symbol:
    """Return the operand of a variable's or function's name."""
    return Symbol(name, kind)
