"""Sums in f32, one product per lane and step, or in i32, with two products at once where that is possible.

**Pairs.** x86 multiplies integers fastest in pairs: `pmaddwd` takes two vectors of i16, multiplies lane by lane, and
adds neighbours to one i32. A panel then holds words: a lane is a pair of i16, which belong to two neighbouring depths
of one column, and a row's pair is broadcast by one load of 32 bits. The last pair of an odd depth holds a zero. With
the VNNI extensions LLVM makes one instruction of the multiplication and the addition.

**Exact.** Factors are taken as pairs only if every value that they can have fits i16 (`ranges.py`): i8 and u8 less a
zero point do. A product is then at most 2^30 and two of them at most 2^31, which only -32768 · -32768 + -32768 · -32768
reaches; `pmaddwd` yields its residue modulo 2^32. An i32 sum that overflows wraps around, in IREE's code too, so that
the order in which products are added does not matter, and sums in i64 of which only the lower 32 bits are used may be
added in i32.

**Guarded pairs.** Frontends also widen i8 to i32 in a dispatch of its own, and nothing in the product's dispatch says
so. Factors whose range is unknown are packed as pairs all the same, and packing looks for values that do not fit. If it
finds one, the sums of the tile are computed again, one product at a time, before anything is stored.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from substitute.codegen.llvm.elements import REGISTER_TYPES, constant, intrinsic, lanes_of, vector
from substitute.codegen.llvm.function import I16, I32, Hardware
from substitute.codegen.llvm.integers import resize
from substitute.model.dispatch import Target

PAIR_PRODUCTS = {4: "llvm.x86.sse2.pmadd.wd", 8: "llvm.x86.avx2.pmadd.wd", 16: "llvm.x86.avx512.pmaddw.d.512"}
"""Instruction that multiplies and adds pairs, by the number of i32 lanes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """The type of the sums, and how products are added to them."""

    element: str
    """`f32` or `i32`."""
    depths: int = 1
    """Neighbouring depths in one lane of a panel: 2 if products are added in pairs."""

    guarded: bool = False
    """True if factors may not fit i16, so that packing has to check them."""

    @property
    def is_integer(self) -> bool:
        """True for sums of i32."""
        return self.element == "i32"

    @property
    def type(self) -> ir.Type:
        """The register type of a sum."""
        return REGISTER_TYPES[self.element]

    def constant(self, number: float | int, lanes: int | None) -> ir.Value:
        """Return the number in every lane."""
        return constant(vector(self.type, lanes), number)

    def convert(self, builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
        """Return a factor in the type of multiplication: of an integer the lower 32 bits, which decide those of the
        product.
        """
        return resize(builder, value, vector(I32, lanes_of(value)), unsigned=False) if self.is_integer else value

    def add(self, builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
        """Return a + b."""
        return builder.add(a, b) if self.is_integer else builder.fadd(a, b)

    def multiply_add(self, builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """Return a · b + c, one product per lane; of f32 vectors in one instruction if the target has it."""
        if self.is_integer:
            return builder.add(builder.mul(a, b), c)
        lanes = lanes_of(c)
        if lanes is None:
            return builder.fadd(builder.fmul(a, b), c)
        return intrinsic(builder, f"llvm.fmuladd.v{lanes}f32", c.type, [a, b, c])

    def multiply_add_words(self, builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """Return c plus all products of two vectors of words."""
        if self.depths == 1:
            return self.multiply_add(builder, a, b, c)
        lanes = c.type.count
        pairs = vector(I16, 2 * lanes)
        halves = [builder.bitcast(a, pairs), builder.bitcast(b, pairs)]
        return builder.add(intrinsic(builder, PAIR_PRODUCTS[lanes], c.type, halves), c)

    def word(self, builder: ir.IRBuilder, values: list[ir.Value]) -> ir.Value:
        """Return factors of neighbouring depths as words; a missing one is zero."""
        if self.depths == 1:
            return values[0]
        low = builder.and_(values[0], constant(values[0].type, 0xFFFF))
        return builder.or_(low, builder.shl(values[1], constant(low.type, 16))) if len(values) > 1 else low

    def words(self, builder: ir.IRBuilder, values: ir.Value) -> ir.Value:
        """Return factors along the depth, as many as a vector of words holds."""
        if self.depths == 1:
            return values
        count = values.type.count
        return builder.bitcast(builder.trunc(values, vector(I16, count)), vector(I32, count // 2))


def multiplies_pairs(target: Target) -> bool:
    """Return True if the target has `pmaddwd` for its full vectors."""
    architecture = target.get("target_triple").split("-")[0]
    if architecture not in ("x86_64", "i386", "i686"):
        return False
    return Hardware.of(target).vector_bytes < 64 or "avx512bw" in target.features
