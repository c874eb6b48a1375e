"""MLIR's scalar operations as GLSL expressions.

How values are held: `f32` as float; `f16` and `bf16` as float, rounded after each operation; `f64` as double; `i1` as
bool; `i8`, `i16`, `i32` as int, sign-extended; `index` as int (32 bits: sizes and coordinates stay below 2^31);
`i64` as `i64`, which is int64_t where the target has it, else a pair of words.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from ...model.scalar import Scalar
from ..mathematics import FUNCTIONS
from ..unsupported import Unsupported

GLSL_TYPE = {
    "f32": "float",
    "f16": "float",
    "bf16": "float",
    "f64": "double",
    "i1": "bool",
    "i8": "int",
    "i16": "int",
    "i32": "int",
    "index": "int",
    "i64": "i64",
}

SMALL_FLOATS = ("f16", "bf16")
INT_BITS = {"i8": 8, "i16": 16, "i32": 32, "index": 32}


def lower_operation(node: Scalar, operand_types: tuple[str, ...], args: tuple[str, ...], *, exact: bool = True) -> str:
    """Return the GLSL expression of one operation on already lowered operands. Raises `Unsupported`.

    Drivers simplify float arithmetic as if there were no NaN, infinity or -0, such as `x - x` to 0, unless it is
    `exact`. Products and sums over many elements may do without: multiply-add instructions are then allowed.
    """
    dialect, _, name = node.op.partition(".")
    types = (node.type, *operand_types)
    if dialect not in ("arith", "math") or any(t not in GLSL_TYPE for t in types):
        raise Unsupported(f"{node.op} on {', '.join(types)}")
    if name == "select":
        return _select(operand_types[1], args)
    if name in CASTS:
        return _cast(name, operand_types[0], node.type, args[0])
    if name in ("cmpf", "cmpi"):
        return (_cmpf if name == "cmpf" else _cmpi)(str(node.attribute), operand_types[0], args)
    domain = operand_types[0] if operand_types else node.type
    if name == "fpowi" and operand_types[1] == "i64":
        args = (args[0], f"i64_to_int({args[1]})")
    if exact and name in EXACT and domain in ("f32", "f64", *SMALL_FLOATS):
        wide = "f64" if domain == "f64" else "f32"
        hidden = ", ".join(f"{wide}_zero" if arg in ("0.0", "0.0lf") else arg for arg in args)
        return round_to(f"{wide}_exact_{name[:-1]}({hidden})", node.type)
    if domain in ("f32", *SMALL_FLOATS):
        return round_to(_lookup(FLOAT, node, domain, args), node.type)
    if domain == "f64":
        return _lookup(DOUBLE, node, domain, args)
    if domain == "i1":
        return _lookup(BOOL, node, domain, args)
    if domain == "i64":
        return _lookup(INT64, node, domain, args)
    return _small_integer(name, node, domain, args)


def lower_constant(value: object, type_: str) -> str:
    """Return a literal of the type's GLSL form. Raises `Unsupported` for other types."""
    if type_ in ("f32", *SMALL_FLOATS):
        return _float_literal(float(value))  # type: ignore[arg-type]
    if type_ == "f64":
        number = float(value)  # type: ignore[arg-type]
        if math.isfinite(number):
            return f"{number!r}lf" if "e" in repr(number) or "." in repr(number) else f"{number!r}.0lf"
        words = struct.unpack("<2I", struct.pack("<d", number))
        return f"packDouble2x32(uvec2({words[0]}u, {words[1]}u))"
    if type_ == "i1":
        return "true" if value else "false"
    if type_ == "i64":
        bits = int(value) & 0xFFFFFFFFFFFFFFFF  # type: ignore[call-overload]
        return f"i64_words(0x{bits & 0xFFFFFFFF:x}u, 0x{bits >> 32:x}u)"
    if type_ in INT_BITS:
        return int_literal(_signed(int(value), INT_BITS[type_]))  # type: ignore[call-overload]
    raise Unsupported(f"a constant of type {type_}")


def int_literal(value: int) -> str:
    """Return a 32-bit literal; GLSL has no literal for the smallest int."""
    if value == -(1 << 31):
        return "int(0x80000000u)"
    return str(value) if value >= 0 else f"({value})"


def round_to(text: str, type_: str) -> str:
    """Round an f32 expression to the small float that it represents."""
    return f"{type_}_rounded({text})" if type_ in SMALL_FLOATS else text


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _float_literal(value: float) -> str:
    try:
        bits = struct.unpack("<I", struct.pack("<f", value))[0]
    except OverflowError:
        bits = struct.unpack("<I", struct.pack("<f", math.copysign(math.inf, value)))[0]
    single = struct.unpack("<f", struct.pack("<I", bits))[0]
    if not math.isfinite(single) or (single != 0 and abs(single) < 2.0**-126):
        return f"uintBitsToFloat(0x{bits:08x}u)"
    text = f"{single:.9g}"
    text = text if "." in text or "e" in text else f"{text}.0"
    return text if not text.startswith("-") else f"({text})"


# --- floats ---------------------------------------------------------------------------------------------------------

_ROUNDING = {name: f"{name}({{0}})" for name in ("floor", "ceil", "trunc")} | {"roundeven": "roundEven({0})"}
_ARITHMETIC = {
    "addf": "({0} + {1})",
    "subf": "({0} - {1})",
    "mulf": "({0} * {1})",
    "divf": "({0} / {1})",
    "negf": "(-{0})",
    "fma": "({0} * {1} + {2})",
    "absf": "abs({0})",
    "sqrt": "sqrt({0})",
    "rsqrt": "inversesqrt({0})",
    "isnan": "is_nan({0})",
}
EXACT = frozenset({"addf", "subf", "mulf", "divf"})
"""Operations that the library has in a form that drivers do not simplify."""
_OWN = {name: f"f32_{name}({{0}})" for name in ("round", *FUNCTIONS)}
FLOAT: dict[str, str] = {
    **_ROUNDING,
    **_ARITHMETIC,
    **_OWN,
    "maximumf": "f32_maximum({0}, {1})",
    "minimumf": "f32_minimum({0}, {1})",
    "maxnumf": "f32_maxnum({0}, {1})",
    "minnumf": "f32_minnum({0}, {1})",
    "powf": "f32_pow({0}, {1})",
    "fpowi": "f32_powi({0}, {1})",
    "atan2": "f32_atan2({0}, {1})",
    "remf": "f32_rem({0}, {1})",
    "copysign": "f32_copysign({0}, {1})",
    "isinf": "is_inf({0})",
    "isfinite": "(!is_nan({0}) && !is_inf({0}))",
    "clampf": "f32_minimum(f32_maximum({0}, {1}), {2})",
}
DOUBLE: dict[str, str] = {
    **_ROUNDING,
    **_ARITHMETIC,
    "maximumf": "f64_maximum({0}, {1})",
    "minimumf": "f64_minimum({0}, {1})",
    "maxnumf": "f64_maxnum({0}, {1})",
    "minnumf": "f64_minnum({0}, {1})",
}

_ORDERED = {
    "eq": "{0} == {1}",
    "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    "lt": "{0} < {1}",
    "le": "{0} <= {1}",
    "ne": "{0} != {1}",
}


def _cmpf(predicate: str, domain: str, args: tuple[str, ...]) -> str:
    # NaN is tested by its bits: a driver may fold `!(a >= b)` into `a < b`
    a, b = args
    if predicate in ("true", "false"):
        return predicate
    if predicate == "ord":
        return f"(!unordered({a}, {b}))"
    if predicate == "uno":
        return f"unordered({a}, {b})"
    relation = _ORDERED[predicate[1:]].format(a, b)
    if predicate[0] == "u":
        return f"(unordered({a}, {b}) || {relation})"
    return f"(!unordered({a}, {b}) && {relation})"


# --- integers -------------------------------------------------------------------------------------------------------

BOOL: dict[str, str] = {
    "andi": "({0} && {1})",
    "ori": "({0} || {1})",
    "xori": "({0} != {1})",
    "addi": "({0} != {1})",
    "subi": "({0} != {1})",
    "muli": "({0} && {1})",
    "maxui": "({0} || {1})",
    "minui": "({0} && {1})",
    "maxsi": "({0} && {1})",
    "minsi": "({0} || {1})",
}

# {0}, {1}: sign-extended ints; {u0}, {u1}: the same without sign
INT: dict[str, str] = {
    "addi": "({0} + {1})",
    "subi": "({0} - {1})",
    "muli": "({0} * {1})",
    "divsi": "({0} / {1})",
    "divui": "int({u0} / {u1})",
    "remsi": "int_rems({0}, {1})",
    "remui": "int({u0} % {u1})",
    "floordivsi": "int_floordivs({0}, {1})",
    "ceildivsi": "int_ceildivs({0}, {1})",
    "ceildivui": "int(uint_ceildiv({u0}, {u1}))",
    "andi": "({0} & {1})",
    "ori": "({0} | {1})",
    "xori": "({0} ^ {1})",
    "shli": "({0} << {1})",
    "shrsi": "({0} >> {1})",
    "shrui": "int({u0} >> {u1})",
    "maxsi": "max({0}, {1})",
    "minsi": "min({0}, {1})",
    "maxui": "int(max({u0}, {u1}))",
    "minui": "int(min({u0}, {u1}))",
    "absi": "abs({0})",
    "ctpop": "bitCount({u0})",
}

INT64: dict[str, str] = {
    "addi": "i64_add({0}, {1})",
    "subi": "i64_sub({0}, {1})",
    "muli": "i64_mul({0}, {1})",
    "divsi": "i64_divs({0}, {1})",
    "divui": "i64_divu({0}, {1})",
    "remsi": "i64_rems({0}, {1})",
    "remui": "i64_remu({0}, {1})",
    "floordivsi": "i64_floordivs({0}, {1})",
    "ceildivsi": "i64_ceildivs({0}, {1})",
    "ceildivui": "i64_ceildivu({0}, {1})",
    "andi": "i64_and({0}, {1})",
    "ori": "i64_or({0}, {1})",
    "xori": "i64_xor({0}, {1})",
    "shli": "i64_shl({0}, i64_low({1}))",
    "shrsi": "i64_shrs({0}, i64_low({1}))",
    "shrui": "i64_shru({0}, i64_low({1}))",
    "maxsi": "i64_maxs({0}, {1})",
    "minsi": "i64_mins({0}, {1})",
    "maxui": "i64_maxu({0}, {1})",
    "minui": "i64_minu({0}, {1})",
    "absi": "i64_abs({0})",
}

_SIGNED_LESS: dict[str, Callable[[str, str, str], str]] = {
    "lt": lambda f, a, b: f"{f}({a}, {b})",
    "gt": lambda f, a, b: f"{f}({b}, {a})",
    "le": lambda f, a, b: f"(!{f}({b}, {a}))",
    "ge": lambda f, a, b: f"(!{f}({a}, {b}))",
}


def _unsigned(text: str, domain: str) -> str:
    bits = INT_BITS[domain]
    return f"uint({text})" if bits == 32 else f"(uint({text}) & 0x{(1 << bits) - 1:x}u)"


def _wrap(text: str, type_: str) -> str:
    return f"int_wrap{INT_BITS[type_]}({text})" if INT_BITS.get(type_, 32) < 32 else text


def _small_integer(name: str, node: Scalar, domain: str, args: tuple[str, ...]) -> str:
    if name not in INT:
        raise Unsupported(f"{node.op} on {domain}")
    unsigned = {f"u{i}": _unsigned(a, domain) for i, a in enumerate(args)}
    return _wrap(INT[name].format(*args, **unsigned), node.type)


def _cmpi(predicate: str, domain: str, args: tuple[str, ...]) -> str:
    a, b = args
    if domain == "i1":
        if predicate not in ("eq", "ne"):
            raise Unsupported(f"arith.cmpi {predicate} on i1")
        return f"({a} {'==' if predicate == 'eq' else '!='} {b})"
    if domain == "i64":
        if predicate in ("eq", "ne"):
            return f"{'!' if predicate == 'ne' else ''}i64_eq({a}, {b})"
        return _SIGNED_LESS[predicate[1:]](f"i64_{predicate[0]}lt", a, b)
    if predicate in ("eq", "ne"):
        return f"({_ORDERED[predicate].format(a, b)})"
    if predicate[0] == "u":
        a, b = _unsigned(a, domain), _unsigned(b, domain)
    return f"({_ORDERED[predicate[1:]].format(a, b)})"


# --- conversions ----------------------------------------------------------------------------------------------------

CASTS = frozenset(
    (
        "extf",
        "truncf",
        "sitofp",
        "uitofp",
        "fptosi",
        "fptoui",
        "extsi",
        "extui",
        "trunci",
        "index_cast",
        "index_castui",
        "bitcast",
        "convertf",
    )
)


def _select(type_: str, args: tuple[str, ...]) -> str:
    return f"i64_select({', '.join(args)})" if type_ == "i64" else f"({args[0]} ? {args[1]} : {args[2]})"


def _cast(name: str, source: str, target: str, text: str) -> str:
    if name in ("extf", "truncf", "convertf"):
        return _float_to_float(source, target, text)
    if name in ("sitofp", "uitofp"):
        return _integer_to_float(source, target, text, signed=name == "sitofp")
    if name in ("fptosi", "fptoui"):
        return _float_to_integer(source, target, text, signed=name == "fptosi")
    if name == "bitcast":
        return _bitcast(source, target, text)
    return _integer_to_integer(source, target, text, signed=name in ("extsi", "index_cast"))


def _float_to_float(source: str, target: str, text: str) -> str:
    if "f64" in (source, target):
        return round_to(f"{GLSL_TYPE[target]}({text})", target)
    return round_to(text, target)


def _integer_to_float(source: str, target: str, text: str, *, signed: bool) -> str:
    if source == "i64":
        if target == "f64":
            raise Unsupported(f"{'sitofp' if signed else 'uitofp'} from i64 to f64")
        return round_to(f"i64_{'' if signed else 'uint_'}to_float({text})", target)
    if source == "i1":
        number = f"({text} ? {'-1.0' if signed else '1.0'} : 0.0)"
        return f"double{number}" if target == "f64" else number
    inner = text if signed else _unsigned(text, source)
    return round_to(f"{GLSL_TYPE[target]}({inner})", target)


def _float_to_integer(source: str, target: str, text: str, *, signed: bool) -> str:
    if source == "f64":
        if target == "i64":
            raise Unsupported("a conversion from f64 to i64")
        return _wrap(f"int({text})" if signed else f"int(uint({text}))", target)
    if target == "i64":
        return f"i64_from_float{'' if signed else '_unsigned'}({text})"
    if target == "i1":
        return f"({text} != 0.0)"
    return _wrap(f"f32_to_int({text})" if signed else f"int(f32_to_uint({text}))", target)


def _integer_to_integer(source: str, target: str, text: str, *, signed: bool) -> str:
    if source == target:
        return text
    if source == "i1":
        number = f"({text} ? {'-1' if signed else '1'} : 0)"
        return f"i64_from_int{number}" if target == "i64" else number
    if target == "i1":
        low = f"i64_to_int({text})" if source == "i64" else text
        return f"(({low} & 1) != 0)"
    if source == "i64":
        return _wrap(f"i64_to_int({text})", target)
    if target == "i64":
        return f"i64_from_int({text})" if signed else f"i64_from_uint({_unsigned(text, source)})"
    if INT_BITS[target] < INT_BITS[source]:
        return _wrap(text, target)
    return text if signed else f"int({_unsigned(text, source)})"


def _bitcast(source: str, target: str, text: str) -> str:
    if source == target:
        return text
    if (source, target) == ("f32", "i32"):
        return f"floatBitsToInt({text})"
    if (source, target) == ("i32", "f32"):
        return f"intBitsToFloat({text})"
    if source in SMALL_FLOATS and target == "i16":
        return f"int_wrap16(int({source}_to_bits({text})))"
    if source == "i16" and target in SMALL_FLOATS:
        return f"{target}_from_bits({_unsigned(text, 'i16')})"
    raise Unsupported(f"arith.bitcast from {source} to {target}")


def _lookup(table: dict[str, str], node: Scalar, domain: str, args: tuple[str, ...]) -> str:
    name = node.op.partition(".")[2]
    if name not in table:
        raise Unsupported(f"{node.op} on {domain}")
    return table[name].format(*args)
