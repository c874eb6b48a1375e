"""Element types in registers and in memory, and conversions between the floating-point ones.

f16 is LLVM's `half`; bf16 is an i16 and f8 an i8 in registers, because LLVM would turn conversions of these into
calls of a runtime library that IREE does not link. Arithmetic on all three is done in f32 and rounded after each op.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from ...model.elements import ELEMENTS, FloatFormat
from .function import I1, I8, I16, I32, I64, Hardware

REGISTER_TYPES: dict[str, ir.Type] = {
    "f64": ir.DoubleType(),
    "f32": ir.FloatType(),
    "f16": ir.HalfType(),
    "bf16": I16,
    "f8E4M3FN": I8,
    "f8E5M2": I8,
    "f8E4M3FNUZ": I8,
    "f8E5M2FNUZ": I8,
    "i64": I64,
    "i32": I32,
    "i16": I16,
    "i8": I8,
    "i1": I1,
    "index": I64,
}
"""Register type of each element type; types that are missing here are not supported."""


SMALL_FLOATS: dict[str, FloatFormat] = {
    e.name: e.format for e in ELEMENTS if e.format and e.name in REGISTER_TYPES and e.bits < 32 and e.name != "bf16"
}
"""Floats whose conversions are written out; a bf16 is the upper half of an f32."""


def is_float(element: str) -> bool:
    """Return whether this is a floating-point type."""
    return element.startswith(("f", "bf"))


def computed_in(element: str) -> str:
    """Return the floating-point type in which arithmetic on `element` is done."""
    return "f64" if element == "f64" else "f32"


def memory_type(element: str) -> ir.Type:
    """Return the type of an element in memory; i1 takes a byte."""
    return I8 if element == "i1" else REGISTER_TYPES[element]


def vector(scalar: ir.Type, lanes: int | None) -> ir.Type:
    """Return `<lanes x scalar>`, or the scalar itself."""
    return scalar if lanes is None else ir.VectorType(scalar, lanes)


def lanes_of(value: ir.Value) -> int | None:
    """Return the number of lanes of a value; None for a scalar."""
    return value.type.count if isinstance(value.type, ir.VectorType) else None


def constant(type_: ir.Type, number: float | int) -> ir.Constant:
    """Return `number` in every lane."""
    if isinstance(type_, ir.VectorType):
        return ir.Constant(type_, [constant(type_.element, number)] * type_.count)
    if isinstance(type_, ir.FloatType) and abs(number) > 3.4028235677973366e38 and number == number:
        return ir.Constant(type_, float("inf") if number > 0 else float("-inf"))
    return ir.Constant(type_, number)


def splat(builder: ir.IRBuilder, value: ir.Value, lanes: int) -> ir.Value:
    """Return a scalar in every lane."""
    if isinstance(value, ir.Constant) and not isinstance(value.constant, str):
        return ir.Constant(ir.VectorType(value.type, lanes), [value] * lanes)
    type_ = ir.VectorType(value.type, lanes)
    one = builder.insert_element(ir.Constant(type_, ir.Undefined), value, ir.Constant(I32, 0))
    mask = ir.Constant(ir.VectorType(I32, lanes), [ir.Constant(I32, 0)] * lanes)
    return builder.shuffle_vector(one, ir.Constant(type_, ir.Undefined), mask)


def intrinsic(builder: ir.IRBuilder, name: str, result: ir.Type, args: Sequence[ir.Value]) -> ir.Value:
    """Call the LLVM intrinsic of this full name; it is declared on first use."""
    known = builder.module.globals.get(name)
    if known is None:
        known = ir.Function(builder.module, ir.FunctionType(result, [a.type for a in args]), name=name)
    return builder.call(known, args)


def suffix(type_: ir.Type) -> str:
    """Return the spelling of a type in an intrinsic's name: `f32`, `v8f32`, `v4i64`."""
    if isinstance(type_, ir.VectorType):
        return f"v{type_.count}{suffix(type_.element)}"
    return f"i{type_.width}" if isinstance(type_, ir.IntType) else str(type_.intrinsic_name)


def load(builder: ir.IRBuilder, pointer: ir.Value, element: str, lanes: int | None = None) -> ir.Value:
    """Load one element, or `lanes` neighbours, as register values."""
    stored = memory_type(element)
    value = builder.load(pointer, align=size_of(element), typ=vector(stored, lanes))
    return builder.trunc(value, vector(I1, lanes)) if element == "i1" else value


def store(builder: ir.IRBuilder, value: ir.Value, pointer: ir.Value, element: str) -> None:
    """Store a register value; a vector goes to neighbouring elements."""
    if element == "i1":
        value = builder.zext(value, vector(I8, lanes_of(value)))
    builder.store(value, pointer, align=size_of(element))


def size_of(element: str) -> int:
    """Return the bytes of one element in memory."""
    type_ = memory_type(element)
    if isinstance(type_, ir.IntType):
        return int(type_.width) // 8
    return {"double": 8, "float": 4, "half": 2}[str(type_)]


def to_f32(builder: ir.IRBuilder, value: ir.Value, element: str, hardware: Hardware) -> ir.Value:
    """Convert a register value of any floating-point type to f32 (f64 is rounded)."""
    lanes = lanes_of(value)
    single = vector(REGISTER_TYPES["f32"], lanes)
    if element == "f32":
        return value
    if element == "f64":
        return builder.fptrunc(value, single)
    if element == "f16" and hardware.half:
        return builder.fpext(value, single)
    if element == "bf16":
        wide = builder.zext(value, vector(I32, lanes))
        return builder.bitcast(builder.shl(wide, constant(wide.type, 16)), single)
    return _widen_small(builder, value, SMALL_FLOATS[element], lanes)


def from_f32(builder: ir.IRBuilder, value: ir.Value, element: str, hardware: Hardware) -> ir.Value:
    """Convert an f32 to a register value of any floating-point type, rounded to nearest even."""
    lanes = lanes_of(value)
    if element == "f32":
        return value
    if element == "f64":
        return builder.fpext(value, vector(REGISTER_TYPES["f64"], lanes))
    if element == "f16" and hardware.half:
        return builder.fptrunc(value, vector(REGISTER_TYPES["f16"], lanes))
    if element == "bf16":
        return _narrow_bf16(builder, value, lanes)
    return _narrow_small(builder, value, SMALL_FLOATS[element], lanes)


def convert_float(builder: ir.IRBuilder, value: ir.Value, source: str, target: str, hardware: Hardware) -> ir.Value:
    """Convert between any two floating-point types, rounded once."""
    if source == target:
        return value
    if source == "f64" and target != "f32":
        return from_f32(builder, _round_to_odd(builder, value), target, hardware)
    return from_f32(builder, to_f32(builder, value, source, hardware), target, hardware)


def _round_to_odd(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Convert f64 to f32, rounded to odd, so that a second rounding gives the correct result (Boldo and Melquiond,
    2005).
    """
    lanes = lanes_of(value)
    single, bits = vector(REGISTER_TYPES["f32"], lanes), vector(I32, lanes)
    near = builder.fptrunc(value, single)
    back = builder.fpext(near, value.type)
    fabs = f"llvm.fabs.{suffix(value.type)}"
    above = builder.fcmp_ordered(
        ">", intrinsic(builder, fabs, value.type, [back]), intrinsic(builder, fabs, value.type, [value])
    )
    pattern = builder.bitcast(near, bits)
    toward_zero = builder.sub(pattern, builder.zext(above, bits))
    odd = builder.or_(toward_zero, constant(bits, 1))
    inexact = builder.fcmp_ordered("!=", back, value)
    return builder.bitcast(builder.select(inexact, odd, pattern), single)


def _narrow_bf16(builder: ir.IRBuilder, value: ir.Value, lanes: int | None) -> ir.Value:
    word = vector(I32, lanes)
    bits = builder.bitcast(value, word)
    sixteen = constant(word, 16)
    odd = builder.and_(builder.lshr(bits, sixteen), constant(word, 1))
    rounded = builder.add(bits, builder.add(odd, constant(word, 0x7FFF)))
    quiet = builder.or_(bits, constant(word, 0x400000))
    nan = builder.fcmp_unordered("uno", value, value)
    return builder.trunc(builder.lshr(builder.select(nan, quiet, rounded), sixteen), vector(I16, lanes))


def _widen_small(builder: ir.IRBuilder, value: ir.Value, format_: FloatFormat, lanes: int | None) -> ir.Value:
    """Widen with integer arithmetic only: IREE's workers turn on a flush-to-zero mode, which would lose subnormals."""
    word, single = vector(I32, lanes), vector(REGISTER_TYPES["f32"], lanes)
    narrow = vector(ir.IntType(format_.bits), lanes)
    bits = builder.zext(builder.bitcast(value, narrow) if value.type != narrow else value, word)
    size = constant(word, (1 << (format_.bits - 1)) - 1)
    magnitude = builder.and_(bits, size)
    sign = builder.shl(builder.xor(bits, magnitude), constant(word, 32 - format_.bits))
    shifted = builder.shl(magnitude, constant(word, 23 - format_.mantissa))
    normal = builder.add(shifted, constant(word, (127 - format_.bias) << 23))
    step = 2.0 ** (1 - format_.bias - format_.mantissa)
    tiny = builder.fmul(builder.sitofp(magnitude, single), constant(single, step))
    small = builder.icmp_unsigned("<", magnitude, constant(word, 1 << format_.mantissa))
    result = builder.select(small, builder.bitcast(tiny, word), normal)
    nan, infinity = constant(word, 0x7FC00000), constant(word, 0x7F800000)
    if format_.unsigned_zero:
        is_nan = builder.icmp_unsigned("==", bits, constant(word, format_.nan))
        return builder.bitcast(builder.select(is_nan, nan, builder.or_(result, sign)), single)
    beyond = builder.icmp_unsigned(">", magnitude, constant(word, format_.largest))
    special = nan
    if format_.infinities:
        is_infinite = builder.icmp_unsigned("==", magnitude, constant(word, format_.largest + 1))
        special = builder.select(is_infinite, infinity, nan)
    return builder.bitcast(builder.or_(builder.select(beyond, special, result), sign), single)


def _narrow_small(builder: ir.IRBuilder, value: ir.Value, format_: FloatFormat, lanes: int | None) -> ir.Value:
    word, single = vector(I32, lanes), vector(REGISTER_TYPES["f32"], lanes)
    bits = builder.bitcast(value, word)
    magnitude = builder.and_(bits, constant(word, 0x7FFFFFFF))
    sign = builder.lshr(builder.xor(bits, magnitude), constant(word, 32 - format_.bits))
    shift = 23 - format_.mantissa
    odd = builder.and_(builder.lshr(magnitude, constant(word, shift)), constant(word, 1))
    rounded = builder.add(magnitude, builder.add(odd, constant(word, (1 << (shift - 1)) - 1)))
    rebias = constant(word, (127 - format_.bias) << 23)
    normal = builder.lshr(builder.sub(rounded, rebias), constant(word, shift))
    # adding this number makes the unit in the last place equal to the format's smallest step
    magic = constant(single, 2.0 ** (1 - format_.bias - format_.mantissa + 23))
    pushed = builder.fadd(builder.bitcast(magnitude, single), magic)
    tiny = builder.sub(builder.bitcast(pushed, word), builder.bitcast(magic, word))
    small = builder.icmp_unsigned("<", magnitude, constant(word, (128 - format_.bias) << 23))
    result = builder.select(small, tiny, normal)
    over = builder.icmp_unsigned(">", result, constant(word, format_.largest))
    beyond = format_.largest + 1 if format_.infinities else format_.nan
    result = builder.select(over, constant(word, beyond), result)
    nan = builder.icmp_unsigned(">", magnitude, constant(word, 0x7F800000))
    huge = builder.icmp_unsigned(">", magnitude, constant(word, 0x7F7FFFFF))
    if not format_.infinities:
        nan = huge  # infinity becomes NaN, as the format has none
    result = builder.select(builder.or_(huge, nan), constant(word, beyond), result)
    result = builder.select(nan, constant(word, format_.nan), result)
    if format_.unsigned_zero:
        keep = builder.and_(
            builder.icmp_unsigned("!=", result, constant(word, 0)),
            builder.icmp_unsigned("!=", result, constant(word, format_.nan)),
        )
        sign = builder.select(keep, sign, constant(word, 0))
    narrow = builder.trunc(builder.or_(result, sign), vector(ir.IntType(format_.bits), lanes))
    return builder.bitcast(narrow, vector(REGISTER_TYPES["f16"], lanes)) if format_.bits == 16 else narrow
