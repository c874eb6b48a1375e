"""The math functions of f32 as GLSL: Vulkan's own may be wrong by 3 + 2|x| ULP (exp) to 4096 ULP (asin, atan).

Nothing relies on a fused multiply-add: what must not be contracted is `precise`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from ...mathematics import FUNCTIONS
from ...mathematics.operations import FloatOps, Text


class GlslOps(FloatOps[Text]):
    """Writer of one statement for each operation; integers are `uint`, conditions `bool`."""

    def __init__(self) -> None:
        self.element = "f32"
        self.lines: list[str] = []
        self._indent = "  "
        self._count = 0

    def _new(self, type_: str, expression: str, qualifier: str = "") -> Text:
        self._count += 1
        name = f"v{self._count}"
        self.lines.append(f"{self._indent}{qualifier}{type_} {name} = {expression};")
        return Text(type_, name)

    def _precise(self, expression: str) -> Text:
        return self._new("float", expression, "precise ")

    def const(self, number: float) -> Text:
        single = struct.unpack("<f", struct.pack("<f", number))[0] if math.isfinite(number) else number
        if not math.isfinite(single) or (single != 0 and abs(single) < 2.0**-126):
            bits = struct.unpack("<I", struct.pack("<f", number))[0]
            return Text("float", f"uintBitsToFloat(0x{bits:08x}u)")
        return Text("float", repr(single) if single >= 0 and math.copysign(1, single) > 0 else f"({single!r})")

    def integer(self, number: int) -> Text:
        return Text("uint", f"0x{number & 0xFFFFFFFF:x}u")

    def add(self, a: Text, b: Text) -> Text:
        return self._precise(f"{a.text} + {b.text}")

    def sub(self, a: Text, b: Text) -> Text:
        return self._precise(f"{a.text} - {b.text}")

    def mul(self, a: Text, b: Text) -> Text:
        return self._precise(f"{a.text} * {b.text}")

    def div(self, a: Text, b: Text) -> Text:
        return self._precise(f"{a.text} / {b.text}")

    def fma(self, a: Text, b: Text, c: Text) -> Text:
        return self._new("float", f"{a.text} * {b.text} + {c.text}")

    def neg(self, a: Text) -> Text:
        return self._new("float", f"-{a.text}")

    def abs(self, a: Text) -> Text:
        return self._new("float", f"abs({a.text})")

    def copysign(self, size: Text, sign: Text) -> Text:
        return self._new("float", f"f32_copysign({size.text}, {sign.text})")

    def sqrt(self, a: Text) -> Text:
        return self._new("float", f"sqrt({a.text})")

    def trunc(self, a: Text) -> Text:
        return self._new("float", f"trunc({a.text})")

    def round_even(self, a: Text) -> Text:
        return self._new("float", f"roundEven({a.text})")

    def compare(self, predicate: str, a: Text, b: Text) -> Text:
        return self._new("bool", f"{a.text} {predicate} {b.text}")

    def unordered(self, a: Text, b: Text) -> Text:
        return self._new("bool", f"unordered({a.text}, {b.text})")

    def both(self, a: Text, b: Text) -> Text:
        return self._new("bool", f"{a.text} && {b.text}")

    def either(self, a: Text, b: Text) -> Text:
        return self._new("bool", f"{a.text} || {b.text}")

    def negate(self, a: Text) -> Text:
        return self._new("bool", f"!{a.text}")

    def select(self, condition: Text, yes: Text, no: Text) -> Text:
        return self._new(yes.type, f"{condition.text} ? {yes.text} : {no.text}")

    def bits(self, a: Text) -> Text:
        return self._new("uint", f"floatBitsToUint({a.text})")

    def from_bits(self, pattern: Text) -> Text:
        return self._new("float", f"uintBitsToFloat({pattern.text})")

    def int_add(self, a: Text, b: Text) -> Text:
        return self._new("uint", f"{a.text} + {b.text}")

    def int_sub(self, a: Text, b: Text) -> Text:
        return self._new("uint", f"{a.text} - {b.text}")

    def int_mul(self, a: Text, b: Text) -> Text:
        return self._new("uint", f"{a.text} * {b.text}")

    def int_mul_high(self, a: Text, b: Text) -> Text:
        high, low = self._new("uint", "0u"), self._new("uint", "0u")
        self.lines.append(f"{self._indent}umulExtended({a.text}, {b.text}, {high.text}, {low.text});")
        return high

    def int_and(self, a: Text, b: Text) -> Text:
        return self._new("uint", f"{a.text} & {b.text}")

    def int_xor(self, a: Text, b: Text) -> Text:
        return self._new("uint", f"{a.text} ^ {b.text}")

    def shift_left(self, a: Text, by: Text | int) -> Text:
        return self._new("uint", f"{a.text} << {by if isinstance(by, int) else by.text}")

    def shift_right(self, a: Text, by: Text | int, *, signed: bool = False) -> Text:
        amount = str(by) if isinstance(by, int) else by.text
        return self._new("uint", f"uint(int({a.text}) >> {amount})" if signed else f"{a.text} >> {amount}")

    def int_compare(self, predicate: str, a: Text, b: Text) -> Text:
        if predicate == "<":
            return self._new("bool", f"int({a.text}) < int({b.text})")
        return self._new("bool", f"{a.text} {predicate.removeprefix('u')} {b.text}")

    def nearest(self, a: Text) -> tuple[Text, Text]:
        """Round without relying on the rounding of additions, which Vulkan leaves open."""
        whole = self.round_even(a)
        return whole, self._new("uint", f"uint(int({whole.text}))")

    def to_float(self, n: Text) -> Text:
        return self._new("float", f"float(int({n.text}))")

    def rarely(
        self, condition: Text, otherwise: tuple[Text, ...], compute: Callable[[], tuple[Text, ...]]
    ) -> tuple[Text, ...]:
        results = tuple(self._new(usual.type, usual.text) for usual in otherwise)
        self.lines.append(f"{self._indent}if ({condition.text}) {{")
        self._indent += "  "
        computed = compute()
        for result, value in zip(results, computed, strict=True):
            self.lines.append(f"{self._indent}{result.text} = {value.text};")
        self._indent = self._indent[2:]
        self.lines.append(f"{self._indent}}}")
        return results


NAMES = {"powf": "pow"}
BINARY = ("powf", "atan2")


def write_function(name: str) -> str:
    """Return a function of the library, `f32_NAME`, that computes one of `codegen.mathematics.FUNCTIONS`."""
    ops = GlslOps()
    parameters = ("x", "y") if name in BINARY else ("x",)
    result = FUNCTIONS[name](ops, *(Text("float", p) for p in parameters))
    head = f"float f32_{NAMES.get(name, name)}({', '.join(f'float {p}' for p in parameters)}) {{"
    return "\n".join((head, *ops.lines, f"  return {result.text};", "}"))


def write_functions() -> str:
    """Return all functions of the library."""
    return "\n\n".join(write_function(name) for name in FUNCTIONS)
