"""Instructions of one slot during their construction: a scope of PTX with its own registers."""

from __future__ import annotations

import struct

_TYPES = {"f": "f32", "w": "b32", "d": "b64", "h": "b16", "p": "pred"}
"""Kinds of register: f32, a word of 32 bits, one of 64, one of 16, a predicate."""


class Block:
    """Lines of a scope `{ … }`, and the number of registers of each kind that they need.

    `prefix` begins every register's name, and may occur nowhere else in the module.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.lines: list[str] = []
        self._counts = dict.fromkeys(_TYPES, 0)
        self._labels = 0

    def new(self, kind: str) -> str:
        """Return a new register."""
        number = self._counts[kind]
        self._counts[kind] = number + 1
        return f"%{self.prefix}_{kind}{number}"

    def label(self) -> str:
        """Return a new label."""
        self._labels += 1
        return f"${self.prefix}_{self._labels}"

    def emit(self, kind: str, opcode: str, *operands: str) -> str:
        """Add an instruction with a new destination, and return that."""
        register = self.new(kind)
        self.line(f"{opcode} {register}, {', '.join(operands)};")
        return register

    def single(self, opcode: str, *operands: str) -> str:
        """Return an f32 from `opcode` (without its type)."""
        return self.emit("f", f"{opcode}.f32", *operands)

    def word(self, opcode: str, *operands: str) -> str:
        """Return 32 bits from `opcode`."""
        return self.emit("w", opcode, *operands)

    def wide(self, opcode: str, *operands: str) -> str:
        """Return 64 bits from `opcode`."""
        return self.emit("d", opcode, *operands)

    def test(self, opcode: str, *operands: str) -> str:
        """Return a predicate from `opcode`."""
        return self.emit("p", opcode, *operands)

    def select(self, test: str, yes: str, no: str) -> str:
        """Return an f32: `yes` where `test` holds."""
        return self.single("selp", yes, no, test)

    def line(self, text: str) -> None:
        """Add a line unchanged."""
        self.lines.append(text)

    def text(self, remark: str) -> list[str]:
        """Return the scope, preceded by a comment."""
        declared = [f".reg .{_TYPES[k]} %{self.prefix}_{k}<{n}>;" for k, n in self._counts.items() if n]
        return [f"{{ // {remark}", *("  " + line for line in (*declared, *self.lines)), "}"]


def float_literal(value: float) -> str:
    """Return PTX's spelling of an f32, bit by bit; too large ones are infinite."""
    try:
        data = struct.pack(">f", value)
    except OverflowError:
        data = struct.pack(">f", float("inf") if value > 0 else float("-inf"))
    return f"0f{data.hex().upper()}"


def is_literal(value: str) -> bool:
    """Return False for a register."""
    return value[0] in "0123456789-"
