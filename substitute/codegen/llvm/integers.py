"""Integer operations of `arith` and `math`, and integer powers."""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from .arithmetic import FloatMath
from .elements import constant, intrinsic, suffix
from .function import I1

IntegerFunction = Callable[..., ir.Value]


def resize(builder: ir.IRBuilder, value: ir.Value, target: ir.Type, *, unsigned: bool) -> ir.Value:
    """Truncate or extend integers to the width of `target`."""
    source = value.type.element if isinstance(value.type, ir.VectorType) else value.type
    wanted = target.element if isinstance(target, ir.VectorType) else target
    if source.width == wanted.width:
        return value
    if source.width > wanted.width:
        return builder.trunc(value, target)
    return builder.zext(value, target) if unsigned else builder.sext(value, target)


def _pick(compare: str, signed: bool) -> IntegerFunction:
    def emit(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
        return builder.select((builder.icmp_signed if signed else builder.icmp_unsigned)(compare, a, b), a, b)

    return emit


def _ceildivui(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    rest = builder.icmp_unsigned("!=", builder.urem(a, b), constant(a.type, 0))
    return builder.add(builder.udiv(a, b), builder.zext(rest, a.type))


def _divide_rounding(up: bool) -> IntegerFunction:
    def emit(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
        zero = constant(a.type, 0)
        quotient, rest = builder.sdiv(a, b), builder.srem(a, b)
        inexact = builder.icmp_signed("!=", rest, zero)
        opposite = builder.icmp_signed("<", builder.xor(rest, b), zero)
        if up:
            return builder.add(quotient, builder.zext(builder.and_(inexact, builder.not_(opposite)), a.type))
        return builder.sub(quotient, builder.zext(builder.and_(inexact, opposite), a.type))

    return emit


def _absolute(builder: ir.IRBuilder, a: ir.Value) -> ir.Value:
    return builder.select(builder.icmp_signed("<", a, constant(a.type, 0)), builder.neg(a), a)


def _count_zeros(name: str) -> IntegerFunction:
    def emit(builder: ir.IRBuilder, a: ir.Value) -> ir.Value:
        full = f"llvm.{name}.{suffix(a.type)}"
        known = builder.module.globals.get(full)
        if known is None:
            known = ir.Function(builder.module, ir.FunctionType(a.type, [a.type, I1]), name=full)
        return builder.call(known, [a, ir.Constant(I1, 0)])

    return emit


def _ones(builder: ir.IRBuilder, a: ir.Value) -> ir.Value:
    return intrinsic(builder, f"llvm.ctpop.{suffix(a.type)}", a.type, [a])


def _integer_power(builder: ir.IRBuilder, base: ir.Value, power: ir.Value) -> ir.Value:
    """Emit `math.ipowi` by squaring; a negative power of anything but 1 and -1 is 0."""
    type_ = base.type
    width = (type_.element if isinstance(type_, ir.VectorType) else type_).width
    one, zero = constant(type_, 1), constant(type_, 0)
    result, square, left = one, base, power
    # 2^(width-1) overflows at the latest, but odd bases wrap around for ever: all bits of the power count
    for _ in range(width - 1):
        odd = builder.icmp_signed("!=", builder.and_(left, one), zero)
        result = builder.select(odd, builder.mul(result, square), result)
        square, left = builder.mul(square, square), builder.lshr(left, one)
    negative = builder.icmp_signed("<", power, zero)
    minus = constant(type_, -1)
    odd = builder.icmp_signed("!=", builder.and_(power, one), zero)
    of_minus = builder.select(odd, minus, one)
    small = builder.select(builder.icmp_signed("==", base, minus), of_minus, zero)
    small = builder.select(builder.icmp_signed("==", base, one), one, small)
    return builder.select(negative, small, result)


def constant_power(m: FloatMath, base: ir.Value, power: int) -> ir.Value:
    """Return `base^power` for a constant power, with as few products as squaring needs."""
    result: ir.Value | None = None
    square, left = base, abs(power)
    while left:
        if left & 1:
            result = square if result is None else m.mul(result, square)
        left >>= 1
        if left:
            square = m.mul(square, square)
    result = m.const(1.0) if result is None else result
    return m.div(m.const(1.0), result) if power < 0 else result


def float_power(m: FloatMath, base: ir.Value, power: ir.Value) -> ir.Value:
    """Return `base^power` for an integer power that is only known at run time, by squaring."""
    width = (power.type.element if isinstance(power.type, ir.VectorType) else power.type).width
    builder = m.builder
    zero, one = constant(power.type, 0), constant(power.type, 1)
    negative = builder.icmp_signed("<", power, zero)
    left = builder.select(negative, builder.neg(power), power)
    result, square = m.const(1.0), base
    for _ in range(width):
        odd = builder.icmp_signed("!=", builder.and_(left, one), zero)
        result = m.select(odd, m.mul(result, square), result)
        square, left = m.mul(square, square), builder.lshr(left, one)
    return m.select(negative, m.div(m.const(1.0), result), result)


FUNCTIONS: dict[str, IntegerFunction] = {
    "arith.addi": lambda b, x, y: b.add(x, y),
    "arith.subi": lambda b, x, y: b.sub(x, y),
    "arith.muli": lambda b, x, y: b.mul(x, y),
    "arith.divsi": lambda b, x, y: b.sdiv(x, y),
    "arith.divui": lambda b, x, y: b.udiv(x, y),
    "arith.ceildivsi": _divide_rounding(up=True),
    "arith.ceildivui": _ceildivui,
    "arith.floordivsi": _divide_rounding(up=False),
    "arith.remsi": lambda b, x, y: b.srem(x, y),
    "arith.remui": lambda b, x, y: b.urem(x, y),
    "arith.andi": lambda b, x, y: b.and_(x, y),
    "arith.ori": lambda b, x, y: b.or_(x, y),
    "arith.xori": lambda b, x, y: b.xor(x, y),
    "arith.shli": lambda b, x, y: b.shl(x, y),
    "arith.shrsi": lambda b, x, y: b.ashr(x, y),
    "arith.shrui": lambda b, x, y: b.lshr(x, y),
    "arith.minsi": _pick("<", signed=True),
    "arith.maxsi": _pick(">", signed=True),
    "arith.minui": _pick("<", signed=False),
    "arith.maxui": _pick(">", signed=False),
    "math.absi": _absolute,
    "math.ctlz": _count_zeros("ctlz"),
    "math.cttz": _count_zeros("cttz"),
    "math.ctpop": _ones,
    "math.ipowi": _integer_power,
}
