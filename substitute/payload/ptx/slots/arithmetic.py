"""Basic operations of the math functions, as PTX on f32.

Every rounding is spelled, so that ptxas contracts nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from ....codegen.mathematics.operations import FloatOps, Text
from .block import Block, float_literal

_PREDICATES = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq"}


class PtxOps(FloatOps[Text]):
    """Emitter into a block; numbers are f32, integers b32, conditions predicates."""

    def __init__(self, block: Block) -> None:
        self.element = "f32"
        self.block = block

    def _float(self, opcode: str, *operands: Text) -> Text:
        return Text("f", self.block.single(opcode, *(o.text for o in operands)))

    def _word(self, opcode: str, *operands: Text) -> Text:
        return Text("w", self.block.word(opcode, *(o.text for o in operands)))

    def _test(self, opcode: str, *operands: Text) -> Text:
        return Text("p", self.block.test(opcode, *(o.text for o in operands)))

    def const(self, number: float) -> Text:
        return Text("f", float_literal(number))

    def integer(self, number: int) -> Text:
        number &= 0xFFFFFFFF
        return Text("w", str(number - (1 << 32) if number >> 31 else number))

    def add(self, a: Text, b: Text) -> Text:
        return self._float("add.rn", a, b)

    def sub(self, a: Text, b: Text) -> Text:
        return self._float("sub.rn", a, b)

    def mul(self, a: Text, b: Text) -> Text:
        return self._float("mul.rn", a, b)

    def div(self, a: Text, b: Text) -> Text:
        return self._float("div.rn", a, b)

    def fma(self, a: Text, b: Text, c: Text) -> Text:
        return self._float("fma.rn", a, b, c)

    def neg(self, a: Text) -> Text:
        return self._float("neg", a)

    def abs(self, a: Text) -> Text:
        return self._float("abs", a)

    def copysign(self, size: Text, sign: Text) -> Text:
        return self._float("copysign", sign, size)  # PTX: the sign's source is the first operand

    def sqrt(self, a: Text) -> Text:
        return self._float("sqrt.rn", a)

    def trunc(self, a: Text) -> Text:
        return Text("f", self.block.emit("f", "cvt.rzi.f32.f32", a.text))

    def round_even(self, a: Text) -> Text:
        return Text("f", self.block.emit("f", "cvt.rni.f32.f32", a.text))

    def compare(self, predicate: str, a: Text, b: Text) -> Text:
        return self._test(f"setp.{_PREDICATES[predicate]}.f32", a, b)

    def unordered(self, a: Text, b: Text) -> Text:
        return self._test("setp.nan.f32", a, b)

    def both(self, a: Text, b: Text) -> Text:
        return self._test("and.pred", a, b)

    def either(self, a: Text, b: Text) -> Text:
        return self._test("or.pred", a, b)

    def negate(self, a: Text) -> Text:
        return self._test("not.pred", a)

    def select(self, condition: Text, yes: Text, no: Text) -> Text:
        kind = {"f": "f32", "w": "b32"}[yes.type]
        return Text(yes.type, self.block.emit(yes.type, f"selp.{kind}", yes.text, no.text, condition.text))

    def bits(self, a: Text) -> Text:
        return self._word("mov.b32", a)

    def from_bits(self, pattern: Text) -> Text:
        return Text("f", self.block.emit("f", "mov.b32", pattern.text))

    def int_add(self, a: Text, b: Text) -> Text:
        return self._word("add.s32", a, b)

    def int_sub(self, a: Text, b: Text) -> Text:
        return self._word("sub.s32", a, b)

    def int_mul(self, a: Text, b: Text) -> Text:
        return self._word("mul.lo.s32", a, b)

    def int_mul_high(self, a: Text, b: Text) -> Text:
        return self._word("mul.hi.u32", a, b)

    def int_and(self, a: Text, b: Text) -> Text:
        return self._word("and.b32", a, b)

    def int_xor(self, a: Text, b: Text) -> Text:
        return self._word("xor.b32", a, b)

    def shift_left(self, a: Text, by: Text | int) -> Text:
        return self._word("shl.b32", a, _amount(by))

    def shift_right(self, a: Text, by: Text | int, *, signed: bool = False) -> Text:
        return self._word("shr.s32" if signed else "shr.u32", a, _amount(by))

    def int_compare(self, predicate: str, a: Text, b: Text) -> Text:
        name = _PREDICATES[predicate.removeprefix("u")]
        return self._test(f"setp.{name}.{'u' if predicate[0] == 'u' else 's'}32", a, b)

    def rarely(
        self, condition: Text, otherwise: tuple[Text, ...], compute: Callable[[], tuple[Text, ...]]
    ) -> tuple[Text, ...]:
        block = self.block
        results = tuple(Text(usual.type, block.new(usual.type)) for usual in otherwise)
        self._assign(results, otherwise)
        label = block.label()
        block.line(f"@!{condition.text} bra {label};")
        self._assign(results, compute())
        block.line(f"{label}:")
        return results

    def product_error(self, a: Text, b: Text, product: Text) -> Text:
        return self.fma(a, b, self.neg(product))

    def _assign(self, results: tuple[Text, ...], values: tuple[Text, ...]) -> None:
        for result, value in zip(results, values, strict=True):
            self.block.line(f"mov.{'f32' if result.type == 'f' else 'b32'} {result.text}, {value.text};")


def _amount(by: Text | int) -> Text:
    return Text("w", str(by)) if isinstance(by, int) else by
