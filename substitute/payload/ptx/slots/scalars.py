"""MLIR's scalar operations as PTX instructions.

How values are held: `f32` in an f32 register; `f16` and `bf16` too, rounded after each operation; `i1` in a predicate;
`i8`, `i16`, `i32` in 32 bits, sign-extended; `i64` and `index` in 64 bits. Other types are `Unsupported`.
Every rounding is spelled (`add.rn`), so that ptxas contracts nothing.
"""

from __future__ import annotations

import math

from ....codegen.unsupported import Unsupported
from ....model.scalar import Scalar
from .block import Block, float_literal
from .mathematics import FUNCTIONS, integer_power

KIND = {
    "f32": "f",
    "f16": "f",
    "bf16": "f",
    "i1": "p",
    "i8": "w",
    "i16": "w",
    "i32": "w",
    "i64": "d",
    "index": "d",
}
"""Kind of register that holds a value of each type."""
SMALL_FLOATS = ("f16", "bf16")
INT_BITS = {"i8": 8, "i16": 16, "i32": 32, "i64": 64, "index": 64}
MAX_POWER = 64

_FLOAT = {
    "addf": "add.rn",
    "subf": "sub.rn",
    "mulf": "mul.rn",
    "divf": "div.rn",
    "negf": "neg",
    "absf": "abs",
    "fma": "fma.rn",
    "sqrt": "sqrt.rn",
    "rsqrt": "rsqrt.approx",
    "maximumf": "max.NaN",
    "minimumf": "min.NaN",
    "maxnumf": "max",
    "minnumf": "min",
}
_ROUNDING = {"floor": "rmi", "ceil": "rpi", "trunc": "rzi", "roundeven": "rni"}
_INT = {
    "addi": "add.s{0}",
    "subi": "sub.s{0}",
    "muli": "mul.lo.s{0}",
    "divsi": "div.s{0}",
    "remsi": "rem.s{0}",
    "divui": "div.u{0}",
    "remui": "rem.u{0}",
    "andi": "and.b{0}",
    "ori": "or.b{0}",
    "xori": "xor.b{0}",
    "maxsi": "max.s{0}",
    "minsi": "min.s{0}",
    "maxui": "max.u{0}",
    "minui": "min.u{0}",
}
_SHIFTS = {"shli": "shl.b{0}", "shrsi": "shr.s{0}", "shrui": "shr.u{0}"}
_UNSIGNED = ("divui", "remui", "maxui", "minui", "shrui")
_BOOL = {
    "andi": "and",
    "ori": "or",
    "xori": "xor",
    "addi": "xor",
    "subi": "xor",
    "muli": "and",
    "maxui": "or",
    "minui": "and",
}
_UNORDERED = {"ueq": "equ", "une": "neu", "ult": "ltu", "ule": "leu", "ugt": "gtu", "uge": "geu"}


def constant(b: Block, value: object, type_: str) -> str:
    """Return a literal; a predicate has none, and gets a register."""
    if type_ in ("f32", *SMALL_FLOATS):
        return float_literal(float(value))  # type: ignore[arg-type]
    if type_ == "i1":
        return b.test("setp.ne.u32", b.word("mov.b32", "1" if value else "0"), "0")
    if type_ not in INT_BITS:
        raise Unsupported(f"a constant of type {type_}")
    bits = INT_BITS[type_]
    number = int(value) & ((1 << bits) - 1)  # type: ignore[call-overload]
    return str(number - (1 << bits) if number >> (bits - 1) else number)


def operation(b: Block, node: Scalar, operand_nodes: tuple[Scalar, ...], args: tuple[str, ...]) -> str:
    """Return the register with an operation's value. Raises `Unsupported`."""
    dialect, _, name = node.op.partition(".")
    types = tuple(o.type for o in operand_nodes)
    if dialect not in ("arith", "math") or any(t not in KIND for t in (node.type, *types)):
        raise Unsupported(f"{node.op} on {', '.join((node.type, *types))}")
    if name == "select":
        return _select(b, node.type, args)
    if name == "cmpf":
        return _compare_floats(b, str(node.attribute), args)
    if name == "cmpi":
        return _compare_integers(b, str(node.attribute), types[0], args)
    if name in _CASTS:
        return _cast(b, name, types[0], node.type, args[0])
    if name == "fpowi" or (name == "powf" and _whole_exponent(operand_nodes[1]) is not None):
        return rounded(b, _power(b, node, operand_nodes[1], args[0]), node.type)
    if name == "isnan":
        return b.test("setp.nan.f32", args[0], args[0])
    if node.type in ("f32", *SMALL_FLOATS):
        return _float(b, node, name, args)
    return _integer(b, node, name, args)


def _float(b: Block, node: Scalar, name: str, args: tuple[str, ...]) -> str:
    if name in _FLOAT:
        value = b.single(_FLOAT[name], *args)
    elif name in _ROUNDING:
        value = b.emit("f", f"cvt.{_ROUNDING[name]}.f32.f32", args[0])
    elif name == "copysign":
        value = b.single("copysign", args[1], args[0])  # PTX: the sign's source is the first operand
    elif name in FUNCTIONS:
        b.line(f"// {name}")
        value = FUNCTIONS[name](b, *args)
    else:
        raise Unsupported(f"{node.op} on {node.type}")
    return rounded(b, value, node.type)


def rounded(b: Block, value: str, type_: str) -> str:
    """Return an f32 rounded to the small float that it represents."""
    if type_ == "f16":
        return b.emit("f", "cvt.f32.f16", b.emit("h", "cvt.rn.f16.f32", value))
    if type_ == "bf16":
        return widened(b, b.emit("h", "cvt.rn.bf16.f32", value))
    return value


def widened(b: Block, half: str) -> str:
    """Return the f32 of a bf16: its upper half."""
    zero = b.emit("h", "mov.b16", "0")
    return b.emit("f", "mov.b32", f"{{{zero}, {half}}}")


def _power(b: Block, node: Scalar, exponent: Scalar, x: str) -> str:
    number = _whole_exponent(exponent)
    if number is None:
        raise Unsupported(f"{node.op} with an exponent that is no constant integer up to {MAX_POWER}")
    return integer_power(b, x, number)


def _whole_exponent(exponent: Scalar) -> int | None:
    number = exponent.attribute if exponent.op == "constant" else None
    if not isinstance(number, (int, float)) or not math.isfinite(number) or abs(number) > MAX_POWER:
        return None
    return int(number) if number == int(number) else None


def _integer(b: Block, node: Scalar, name: str, args: tuple[str, ...]) -> str:
    if node.type == "i1":
        if name not in _BOOL:
            raise Unsupported(f"{node.op} to i1")
        return b.test(f"{_BOOL[name]}.pred", *args)
    bits = max(INT_BITS[node.type], 32)
    kind = KIND[node.type]
    if name in _UNSIGNED:
        args = tuple(_unsigned(b, a, node.type) for a in args)
    if name in _SHIFTS:
        amount = b.word("cvt.u32.u64", args[1]) if bits == 64 else args[1]
        return wrapped(b, b.emit(kind, _SHIFTS[name].format(bits), args[0], amount), node.type)
    if name not in _INT:
        raise Unsupported(f"{node.op} on {node.type}")
    return wrapped(b, b.emit(kind, _INT[name].format(bits), *args), node.type)


def wrapped(b: Block, value: str, type_: str) -> str:
    """Return 32 bits sign-extended from the width of a smaller integer."""
    bits = INT_BITS.get(type_, 32)
    return b.word(f"cvt.s32.s{bits}", value) if bits < 32 else value


def _unsigned(b: Block, value: str, type_: str) -> str:
    bits = INT_BITS[type_]
    return b.word("and.b32", value, str((1 << bits) - 1)) if bits < 32 else value


def _select(b: Block, type_: str, args: tuple[str, ...]) -> str:
    test, yes, no = args
    if type_ == "i1":
        first = b.test("and.pred", test, yes)
        second = b.test("and.pred", b.test("not.pred", test), no)
        return b.test("or.pred", first, second)
    kind = KIND[type_]
    return b.emit(kind, {"f": "selp.f32", "w": "selp.b32", "d": "selp.b64"}[kind], yes, no, test)


def _compare_floats(b: Block, predicate: str, args: tuple[str, ...]) -> str:
    if predicate in ("true", "false"):
        return constant(b, predicate == "true", "i1")
    word = {"ord": "num", "uno": "nan"}.get(predicate) or _UNORDERED.get(predicate) or predicate[1:]
    return b.test(f"setp.{word}.f32", *args)


def _compare_integers(b: Block, predicate: str, type_: str, args: tuple[str, ...]) -> str:
    if type_ == "i1":
        if predicate not in ("eq", "ne"):
            raise Unsupported(f"arith.cmpi {predicate} on i1")
        differ = b.test("xor.pred", *args)
        return differ if predicate == "ne" else b.test("not.pred", differ)
    bits = max(INT_BITS[type_], 32)
    if predicate in ("eq", "ne"):
        return b.test(f"setp.{predicate}.s{bits}", *args)
    if predicate[0] == "u":
        args = tuple(_unsigned(b, a, type_) for a in args)
    return b.test(f"setp.{predicate[1:]}.{predicate[0]}{bits}", *args)


# --- conversions ----------------------------------------------------------------------------------------------------

_CASTS = frozenset(
    (
        "extf",
        "truncf",
        "convertf",
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
    )
)


def _cast(b: Block, name: str, source: str, target: str, value: str) -> str:
    if name in ("extf", "truncf", "convertf"):
        return rounded(b, value, target)
    if name in ("sitofp", "uitofp"):
        return _to_float(b, source, target, value, signed=name == "sitofp")
    if name in ("fptosi", "fptoui"):
        sign, bits = ("s" if name == "fptosi" else "u"), max(INT_BITS.get(target, 0), 32)
        if target == "i1":
            raise Unsupported(f"arith.{name} to i1")
        return wrapped(b, b.emit(KIND[target], f"cvt.rzi.{sign}{bits}.f32", value), target)
    if name == "bitcast":
        if (source, target) not in (("f32", "i32"), ("i32", "f32")):
            raise Unsupported(f"arith.bitcast from {source} to {target}")
        return b.emit(KIND[target], "mov.b32", value)
    return _to_integer(b, source, target, value, signed=name in ("extsi", "index_cast"))


def _to_float(b: Block, source: str, target: str, value: str, *, signed: bool) -> str:
    if source == "i1":
        return b.select(value, float_literal(-1.0 if signed else 1.0), float_literal(0.0))
    if not signed:
        value = _unsigned(b, value, source)
    bits = max(INT_BITS[source], 32)
    return rounded(b, b.emit("f", f"cvt.rn.f32.{'s' if signed else 'u'}{bits}", value), target)


def _to_integer(b: Block, source: str, target: str, value: str, *, signed: bool) -> str:
    if source == target or KIND[source] == KIND[target] == "d":
        return value
    if source == "i1":
        kind = KIND[target]
        return b.emit(kind, f"selp.b{32 if kind == 'w' else 64}", "-1" if signed else "1", "0", value)
    if target == "i1":
        low = b.emit(KIND[source], f"and.b{max(INT_BITS[source], 32)}", value, "1")
        return b.test(f"setp.ne.s{max(INT_BITS[source], 32)}", low, "0")
    if INT_BITS[source] == 64:
        return wrapped(b, b.word("cvt.u32.u64", value), target)
    if not signed:
        value = _unsigned(b, value, source)
    if INT_BITS[target] == 64:
        return b.wide("cvt.s64.s32" if signed else "cvt.u64.u32", value)
    return wrapped(b, value, target)
