"""Scalar bodies: random expressions over the operands of a nest, with nothing in them that MLIR calls undefined."""

from __future__ import annotations

from collections.abc import Sequence

from runtime_tests.fuzz.choices import Choices
from runtime_tests.fuzz.function import FLOATS, INTEGERS, WIDTHS

UNARY = (
    "arith.negf",
    "math.absf",
    "math.exp",
    "math.sqrt",
    "math.tanh",
    "math.log",
    "math.rsqrt",
    "math.erf",
    "math.sin",
    "math.cos",
    "math.exp2",
    "math.log2",
    "math.log1p",
    "math.expm1",
    "math.floor",
    "math.ceil",
    "math.roundeven",
    "math.round",
    "math.trunc",
    "math.sinh",
    "math.cosh",
    "math.tan",
    "math.atan",
    "math.asin",
    "math.acos",
    "math.log10",
    "math.cbrt",
    "math.asinh",
    "math.acosh",
    "math.atanh",
    "math.erfc",
)
BINARY = (
    "arith.addf",
    "arith.mulf",
    "arith.subf",
    "arith.maximumf",
    "arith.minimumf",
    "arith.divf",
    "arith.maxnumf",
    "arith.minnumf",
    "math.copysign",
    "math.powf",
    "math.atan2",
    "arith.remf",
)
INTEGER_BINARY = (
    "arith.addi",
    "arith.muli",
    "arith.subi",
    "arith.andi",
    "arith.ori",
    "arith.xori",
    "arith.maxsi",
    "arith.minsi",
    "arith.maxui",
    "arith.minui",
)
DIVISIONS = ("arith.divsi", "arith.divui", "arith.remsi", "arith.remui", "arith.floordivsi", "arith.ceildivsi")
SHIFTS = ("arith.shli", "arith.shrui", "arith.shrsi")
FLOAT_PREDICATES = ("olt", "ogt", "oeq", "une", "ole", "oge", "ult", "uge", "ord", "uno", "one", "ueq")
INTEGER_PREDICATES = ("slt", "sgt", "eq", "ne", "ult", "uge", "sle", "ugt")

Scalar = tuple[str, str]
"""Name and element type."""


class Body:
    """The lines of one region."""

    def __init__(self, choices: Choices, prefix: str) -> None:
        self.choices = choices
        self.lines: list[str] = []
        self._prefix = prefix
        self._count = 0

    def emit(self, text: str, element: str) -> Scalar:
        """Adds an operation; its result."""
        self._count += 1
        name = f"%{self._prefix}_{self._count}"
        self.lines.append(f"    {name} = {text}")
        return name, element

    def constant(self, literal: str, element: str) -> Scalar:
        """A constant of a type."""
        return self.emit(f"arith.constant {literal}" + ("" if element == "i1" else f" : {element}"), element)

    def literal(self, element: str) -> Scalar:
        """Some constant."""
        c = self.choices
        if element == "i1":
            return self.constant(c.pick(("true", "false")), element)
        if element in WIDTHS and not element.startswith(("f", "b")):
            return self.constant(str(c.pick((1, 2, 3, 0, -1, 7, 100))), element)
        return self.constant(c.pick(("2.0", "0.5", "1.0", "0.0", "-1.5", "0.1", "6.0", "1.0e-5")), element)

    def converted(self, value: Scalar, element: str) -> Scalar:
        """The value in another type."""
        name, own = value
        if own == element:
            return value
        if own == "index":
            return self.converted(self.emit(f"arith.index_cast {name} : index to i32", "i32"), element)
        c = self.choices
        if _is_float(own) and _is_float(element):
            if WIDTHS[own] == WIDTHS[element]:  # f16 and bf16
                return self.converted(self.converted(value, "f32"), element)
            op = "extf" if WIDTHS[own] < WIDTHS[element] else "truncf"
            return self.emit(f"arith.{op} {name} : {own} to {element}", element)
        if _is_float(element):
            op = "uitofp" if own == "i1" or c.chance(20) else "sitofp"
            return self.emit(f"arith.{op} {name} : {own} to {element}", element)
        if element == "i1":
            return self.compared(value, self.literal(own))
        if _is_float(own):
            return self._to_integer(value, element)
        if WIDTHS[own] < WIDTHS[element]:
            op = "extui" if own == "i1" or c.chance(20) else "extsi"
            return self.emit(f"arith.{op} {name} : {own} to {element}", element)
        return self.emit(f"arith.trunci {name} : {own} to {element}", element)

    def _to_integer(self, value: Scalar, element: str) -> Scalar:
        """Clamped first, since anything beyond is undefined, NaN included."""
        wide = self.converted(value, "f32")
        low, high = self.constant("-100.0", "f32"), self.constant("100.0", "f32")
        above = self.emit(f"arith.maxnumf {wide[0]}, {low[0]} : f32", "f32")
        inside = self.emit(f"arith.minnumf {above[0]}, {high[0]} : f32", "f32")
        if self.choices.chance(60):
            inside = self.emit(f"math.roundeven {inside[0]} : f32", "f32")
        if self.choices.chance(20):
            inside = self.emit(f"math.absf {inside[0]} : f32", "f32")
            return self.emit(f"arith.fptoui {inside[0]} : f32 to {element}", element)
        return self.emit(f"arith.fptosi {inside[0]} : f32 to {element}", element)

    def compared(self, a: Scalar, b: Scalar) -> Scalar:
        """A comparison of two values of one type."""
        kind, predicates = ("cmpf", FLOAT_PREDICATES) if _is_float(a[1]) else ("cmpi", INTEGER_PREDICATES)
        if a[1] == "i1":
            predicates = ("eq", "ne")
        return self.emit(f"arith.{kind} {self.choices.pick(predicates)}, {a[0]}, {b[0]} : {a[1]}", "i1")

    def unary(self, value: Scalar) -> Scalar:
        """One operation on one value."""
        c = self.choices
        name, element = value
        if _is_float(element):
            kind = c.weighted(((8, "function"), (5, "constant"), (2, "select"), (1, "cast"), (1, "clamp")))
            if kind == "function":
                op = c.pick(UNARY[:12]) if c.chance(70) else c.pick(UNARY)
                return self.emit(f"{op} {name} : {element}", element)
            if kind == "select":
                other = self.literal(element)
                return self.selected(self.compared(value, other), value, self.literal(element))
            if kind == "cast":
                return self.converted(self.converted(value, c.pick(FLOATS)), element)
            if kind == "clamp":
                low, high = self.constant("0.0", element), self.constant("6.0", element)
                above = self.emit(f"arith.maximumf {name}, {low[0]} : {element}", element)
                return self.emit(f"arith.minimumf {above[0]}, {high[0]} : {element}", element)
            return self.binary(value, self.literal(element))
        if element == "i1":
            return self.emit(f"arith.xori {name}, {self.constant('true', 'i1')[0]} : i1", "i1")
        kind = c.weighted(((6, "constant"), (3, "shift"), (2, "divide"), (2, "function"), (1, "select"), (1, "cast")))
        if kind == "shift":
            by = self.constant(str(c.below(WIDTHS[element])), element)
            return self.emit(f"{c.pick(SHIFTS)} {name}, {by[0]} : {element}", element)
        if kind == "divide":
            by = self.constant(c.pick(("3", "2", "7", "10")), element)
            return self.emit(f"{c.pick(DIVISIONS)} {name}, {by[0]} : {element}", element)
        if kind == "function":
            op = c.pick(("math.absi", "math.ctpop", "math.ctlz", "math.cttz"))
            return self.emit(f"{op} {name} : {element}", element)
        if kind == "select":
            return self.selected(self.compared(value, self.literal(element)), value, self.literal(element))
        if kind == "cast":
            return self.converted(self.converted(value, c.pick((*FLOATS, *INTEGERS))), element)
        return self.binary(value, self.literal(element))

    def selected(self, condition: Scalar, a: Scalar, b: Scalar) -> Scalar:
        """A select."""
        return self.emit(f"arith.select {condition[0]}, {a[0]}, {b[0]} : {a[1]}", a[1])

    def binary(self, a: Scalar, b: Scalar) -> Scalar:
        """One operation on two values of one type."""
        c = self.choices
        element = a[1]
        if _is_float(element):
            op = c.pick(BINARY[:6]) if c.chance(80) else c.pick(BINARY)
            if op == "math.powf":
                a = self.emit(f"math.absf {a[0]} : {element}", element)
            return self.emit(f"{op} {a[0]}, {b[0]} : {element}", element)
        if element == "i1":
            return self.emit(f"arith.{c.pick(('andi', 'ori', 'xori'))} {a[0]}, {b[0]} : i1", "i1")
        if c.chance(8):
            one = self.constant("1", element)
            by = self.emit(f"arith.maxsi {b[0]}, {one[0]} : {element}", element)
            return self.emit(f"{c.pick(DIVISIONS)} {a[0]}, {by[0]} : {element}", element)
        op = c.pick(INTEGER_BINARY[:5]) if c.chance(60) else c.pick(INTEGER_BINARY)
        return self.emit(f"{op} {a[0]}, {b[0]} : {element}", element)

    def joined(self, a: Scalar, b: Scalar, element: str) -> Scalar:
        """Two values as one, of a type."""
        c = self.choices
        if a[1] == "i1" and b[1] != "i1" and c.chance(70):
            return self.converted(self.selected(a, b, self.literal(b[1])), element)
        a, b = self.converted(a, element), self.converted(b, element)
        if c.chance(10):
            return self.selected(self.compared(a, b), *((a, b) if c.chance(50) else (b, a)))
        if _is_float(element) and c.chance(8):
            more = self.literal(element)
            return self.emit(f"math.fma {a[0]}, {b[0]}, {more[0]} : {element}", element)
        return self.binary(a, b)

    def expression(self, inputs: Sequence[Scalar], element: str, *, more: int = 3) -> Scalar:
        """Something that depends on all inputs, in a type."""
        c = self.choices
        pool = list(inputs) or [self.literal(element)]
        for _ in range(c.below(more + 1)):
            at = c.below(len(pool))
            pool[at] = self.unary(pool[at])
        while len(pool) > 1:
            a = pool.pop(c.below(len(pool)))
            b = pool.pop(c.below(len(pool)))
            pool.append(self.joined(a, b, element))
        found = pool[0]
        for _ in range(c.below(more)):
            found = self.unary(found)
        return self.converted(found, element)


def _is_float(element: str) -> bool:
    return element in FLOATS
