"""Forms of the floating-point instructions, with references in exact rationals.

Source: PTX ISA 9.7.3 to 9.7.7, 9.7.9.21 "cvt".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction

from . import integers, numbers
from .forms import COMBINE, INTEGER_TYPES, Form
from .numbers import FORMATS, NAN, ZERO, Number, decode, encode

_ROUNDINGS = ("rn", "rz", "rm", "rp")
Operation = Callable[..., Number]


def float_forms() -> Iterator[Form]:
    """All of them."""
    for type_ in ("f32", "f64", "f16", "bf16", "f16x2", "bf16x2"):
        yield from _arithmetic(type_)
        yield from _extrema(type_)
        yield from _comparisons(type_)
    yield from _signs_and_classes()
    yield from _conversions()
    yield from _pairs()
    yield from _functions()


def finish(
    value: Number, type_: str, mode: str = "rn", *, ftz: bool = False, sat: bool = False, relu: bool = False
) -> int:
    """The bits of a result."""
    format_ = FORMATS[type_]
    if sat and (value.is_nan or value.negative):
        value = ZERO
    if sat and (value.is_infinite or value.value > 1):
        value = numbers.exact(Fraction(1))
    if relu and not value.is_nan and value.negative:
        value = ZERO
    return encode(value, format_, mode, ftz=ftz)


def _lift(operation: Operation, type_: str, *, mode: str = "rn", ftz: bool = False, **kind: bool):
    """An operation on values as a function of bits; on both halves of a pair."""
    element = type_.removesuffix("x2")
    format_ = FORMATS[element]

    def one(*bits: int) -> int | None:
        values = [decode(b, format_, ftz=ftz) for b in bits]
        value = operation(*values)
        if ftz and value.is_finite and value.size and format_.tiny * Fraction(999, 1000) < value.size < format_.tiny:
            return None  # the ISA does not define whether tininess is detected before or after the rounding
        if element == "f64" and value.is_nan and any(v.is_nan for v in values):
            return None  # a payload is kept
        return finish(value, element, mode, ftz=ftz, **kind)

    if element == type_:
        return one

    def both(*bits: int) -> int | None:
        low, high = one(*(b & 0xFFFF for b in bits)), one(*(b >> 16 for b in bits))
        return None if low is None or high is None else high << 16 | low

    return both


def _fma(a: Number, b: Number, c: Number, mode: str = "rn") -> Number:
    return numbers.add(numbers.multiply(a, b), c, mode)


def _arithmetic(type_: str) -> Iterator[Form]:
    element = type_.removesuffix("x2")
    single = element == type_
    modes = _ROUNDINGS if element in ("f32", "f64") else ("rn",)
    for mode in modes:
        operations: dict[str, tuple[int, Operation]] = {
            "add": (2, lambda a, b, m=mode: numbers.add(a, b, m)),
            "sub": (2, lambda a, b, m=mode: numbers.add(a, b.negated(), m)),
            "mul": (2, numbers.multiply),
            "fma": (3, lambda a, b, c, m=mode: _fma(a, b, c, m)),
        }
        if element in ("f32", "f64"):
            operations |= {
                "div": (2, numbers.divide),
                "sqrt": (1, numbers.square_root),
                "rcp": (1, lambda a: numbers.divide(numbers.exact(Fraction(1)), a)),
            }
        for name, (count, operation) in operations.items():
            kinds: list[tuple[str, dict[str, bool]]] = [("", {})]
            if element in ("f32", "f16"):
                kinds.append((".ftz", {"ftz": True}))
            if element in ("f32", "f16") and name in ("add", "sub", "mul", "fma"):
                kinds += [(".sat", {"sat": True}), (".ftz.sat", {"ftz": True, "sat": True})]
            if element in ("f16", "bf16") and name == "fma":
                kinds.append((".relu", {"relu": True}))
                if element == "f16":
                    kinds.append((".ftz.relu", {"ftz": True, "relu": True}))
            operands = ", ".join(("%a", "%b", "%c")[:count])
            for words, kind in kinds:
                function = _lift(operation, type_, mode=mode, **kind)
                yield Form(f"{name}.{mode}{words}.{type_} %d, {operands}", (type_,) * count, (type_,), function)
    if not single:
        return


def _pick(a: Number, b: Number, *, largest: bool, nan: bool) -> Number:
    if a.is_nan or b.is_nan:
        return NAN if nan or (a.is_nan and b.is_nan) else (b if a.is_nan else a)
    if a.size == 0 and b.size == 0:
        return Number(a.negative and b.negative if largest else a.negative or b.negative, Fraction(0))
    return (b if numbers.less(a, b) else a) if largest else (a if numbers.less(a, b) else b)


def _extrema(type_: str) -> Iterator[Form]:
    element = type_.removesuffix("x2")
    for name in ("min", "max"):
        largest = name == "max"
        for ftz in (False, True) if element in ("f32", "f16") else (False,):
            for nan in (False, True) if element != "f64" else (False,):
                words = (".ftz" if ftz else "") + (".NaN" if nan else "")
                plain = lambda a, b, g=largest, n=nan: _pick(a, b, largest=g, nan=n)  # noqa: E731
                yield Form(f"{name}{words}.{type_} %d, %a, %b", (type_, type_), (type_,), _lift(plain, type_, ftz=ftz))
                if element == "f64":
                    continue

                def signed(a: Number, b: Number, g=largest, n=nan) -> Number:
                    found = _pick(a.positive(), b.positive(), largest=g, nan=n)
                    return NAN if found.is_nan else Number(a.negative != b.negative, found.size)

                yield Form(
                    f"{name}{words}.xorsign.abs.{type_} %d, %a, %b",
                    (type_, type_),
                    (type_,),
                    _lift(signed, type_, ftz=ftz),
                )


def compare(a: Number, b: Number, operator: str) -> bool:
    """Setp's comparisons of floats."""
    unordered = a.is_nan or b.is_nan
    if operator in ("num", "nan"):
        return unordered == (operator == "nan")
    if unordered:
        return len(operator) == 3
    low, high = numbers.less(a, b), numbers.less(b, a)
    return {"eq": not low and not high, "ne": low or high, "lt": low, "le": not high, "gt": high, "ge": not low}[
        operator[:2]
    ]


_OPERATORS = ("eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan")


def _comparisons(type_: str) -> Iterator[Form]:
    element = type_.removesuffix("x2")
    format_ = FORMATS[element]
    ones = {"f32": 0x3F800000, "f16": 0x3C00, "bf16": 0x3F80}
    for operator in _OPERATORS:
        for ftz in (False, True) if element in ("f32", "f16") else (False,):
            words = f"{operator}{'.ftz' if ftz else ''}"

            def test(a: int, b: int, o=operator, f=ftz) -> int:
                return int(compare(decode(a, format_, ftz=f), decode(b, format_, ftz=f), o))

            if type_ != element:
                halves = lambda a, b, t=test: (t(a & 0xFFFF, b & 0xFFFF), t(a >> 16, b >> 16))  # noqa: E731
                yield Form(f"setp.{words}.{type_} %d|%e, %a, %b", (type_, type_), ("pred", "pred"), halves)
                for to, yes in ((type_, ones[element]), ("u32", 0xFFFF)):
                    yield Form(
                        f"set.{words}.{to}.{type_} %d, %a, %b",
                        (type_, type_),
                        (to,),
                        lambda a, b, h=halves, y=yes: h(a, b)[0] * y | h(a, b)[1] * y << 16,
                    )
                continue
            yield Form(f"setp.{words}.{type_} %d, %a, %b", (type_, type_), ("pred",), test)
            for to in ("u32", type_ if element in ("f16", "bf16") else "f32"):
                yes = 0xFFFFFFFF if to == "u32" else ones[to]
                yield Form(
                    f"set.{words}.{to}.{type_} %d, %a, %b",
                    (type_, type_),
                    (to,),
                    lambda a, b, t=test, y=yes: t(a, b) * y,
                )
            for word, combine in COMBINE.items():
                text = f"setp.{operator}.{word}{'.ftz' if ftz else ''}.{type_} %d"
                if element in ("f16", "bf16"):  # which have one destination
                    yield Form(
                        f"{text}, %a, %b, %p",
                        (type_, type_, "pred"),
                        ("pred",),
                        lambda a, b, p, t=test, g=combine: g(t(a, b), p),
                    )
                else:
                    yield Form(
                        f"{text}|%e, %a, %b, %p",
                        (type_, type_, "pred"),
                        ("pred", "pred"),
                        lambda a, b, p, t=test, g=combine: (g(t(a, b), p), g(1 - t(a, b), p)),
                    )


def _signs_and_classes() -> Iterator[Form]:
    for type_ in ("f32", "f64", "f16", "bf16", "f16x2", "bf16x2"):
        element = type_.removesuffix("x2")
        for name in ("abs", "neg"):
            operation = Number.positive if name == "abs" else Number.negated
            for ftz in (False, True) if element in ("f32", "f16") else (False,):
                lifted = _lift(operation, type_, ftz=ftz)
                yield Form(
                    f"{name}{'.ftz' if ftz else ''}.{type_} %d, %a",
                    (type_,),
                    (type_,),
                    lambda a, f=lifted, t=type_: None if _has_nan(a, t) else f(a),
                )
    for type_ in ("f32", "f64"):
        format_ = FORMATS[type_]
        sign = 1 << (format_.bits - 1)
        yield Form(f"copysign.{type_} %d, %a, %b", (type_, type_), (type_,), lambda a, b, s=sign: (a & s) | (b & ~s))
        classes: dict[str, Callable[[Number], bool]] = {
            "finite": lambda n: n.is_finite,
            "infinite": lambda n: n.is_infinite,
            "number": lambda n: not n.is_nan,
            "notanumber": lambda n: n.is_nan,
            "normal": lambda n, f=format_: n.is_finite and (n.size == 0 or n.size >= f.tiny),
            "subnormal": lambda n, f=format_: n.is_finite and 0 < n.size < f.tiny,
        }
        for word, has in classes.items():
            yield Form(
                f"testp.{word}.{type_} %d, %a", (type_,), ("pred",), lambda a, h=has, f=format_: int(h(decode(a, f)))
            )
    for type_ in ("b32", "u64", "f32"):
        for ftz in (False, True):
            yield Form(
                f"slct{'.ftz' if ftz else ''}.{type_}.f32 %d, %a, %b, %c",
                (type_, type_, "f32"),
                (type_,),
                lambda a, b, c, f=ftz: a if compare(decode(c, FORMATS["f32"], ftz=f), ZERO, "ge") else b,
            )


def _has_nan(bits: int, type_: str) -> bool:
    format_ = FORMATS[type_.removesuffix("x2")]
    parts = (bits & 0xFFFF, bits >> 16) if type_.endswith("x2") else (bits,)
    return any(decode(p, format_).is_nan for p in parts)


def _whole(value: Number, mode: str) -> Number:
    """Rounded to an integer: rni, rzi, rmi, rpi."""
    if not value.is_finite:
        return value
    assert value.size is not None
    low = math.floor(value.value)
    rest = value.value - low
    up = {"rmi": False, "rpi": bool(rest), "rzi": bool(rest) and value.negative}.get(mode)
    if up is None:
        up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and low % 2 == 1)
    return numbers.exact(Fraction(low + up), value.negative)


def to_integer(value: Number, to: str, mode: str, *, wide: bool) -> int:
    """Clamped; NaN by the ISA's table."""
    if value.is_nan:
        return 1 << (integers.width(to) - 1) if wide or integers.width(to) == 64 else 0
    low, high = integers.limits(to)
    if value.is_infinite:
        return low if value.negative else high
    return integers.clamped(int(_whole(value, mode).value), to)


def _conversions() -> Iterator[Form]:
    every = ("u8", "s8", *INTEGER_TYPES)
    for origin in ("f32", "f64", "f16", "bf16"):
        for to in every if origin != "bf16" else INTEGER_TYPES:
            for mode in ("rni", "rzi", "rmi", "rpi"):
                for words in {"f32": ("", ".ftz", ".sat", ".ftz.sat"), "bf16": ("",)}.get(origin, ("", ".sat")):
                    yield Form(
                        f"cvt.{mode}{words}.{to}.{origin} %d, %a",
                        (origin,),
                        (to,),
                        lambda a, o=origin, t=to, m=mode, f=".ftz" in words: to_integer(
                            decode(a, FORMATS[o], ftz=f), t, m, wide=o == "f64"
                        ),
                    )
    for to in ("f32", "f64", "f16", "bf16"):
        for origin in every if to != "bf16" else INTEGER_TYPES:
            for mode in _ROUNDINGS:
                for sat in (False, True) if to != "bf16" else (False,):
                    yield Form(
                        f"cvt.{mode}{'.sat' if sat else ''}.{to}.{origin} %d, %a",
                        (origin,),
                        (to,),
                        lambda a, o=origin, t=to, m=mode, s=sat: finish(
                            numbers.exact(Fraction(integers.read(a, o))), t, m, sat=s
                        ),
                    )
    order = ("bf16", "f16", "f32", "f64")
    for to in order:
        for origin in order:
            yield from _between_floats(to, origin)


def _between_floats(to: str, origin: str) -> Iterator[Form]:
    narrows = FORMATS[to].mantissa < FORMATS[origin].mantissa or {to, origin} == {"bf16", "f16"}
    modes = _ROUNDINGS if narrows else ("",)
    if to == origin:
        modes = ("", "rni", "rzi", "rmi", "rpi")
    for mode in modes:
        for words in ("", ".ftz", ".sat", ".relu", ".satfinite"):
            if (words == ".ftz" and "f32" not in (to, origin)) or (words == ".sat" and "bf16" in (to, origin)):
                continue
            if words in (".relu", ".satfinite") and (
                origin != "f32" or to not in ("f16", "bf16") or mode not in ("rn", "rz")
            ):
                continue
            if to == origin == "f64" and words == ".ftz":
                continue

            def function(a: int, w=words, m=mode) -> int | None:
                ftz = w == ".ftz"
                value = decode(a, FORMATS[origin], ftz=ftz and origin == "f32")
                if value.is_nan and (to == "f64" or to == origin) and w != ".sat":
                    return None
                if m.endswith("i"):
                    value = _whole(value, m)
                result = finish(
                    value,
                    to,
                    m if m in _ROUNDINGS else "rn",
                    ftz=ftz and to == "f32",
                    sat=w == ".sat",
                    relu=w == ".relu",
                )
                return _finite(result, to, w == ".satfinite")

            yield Form(f"cvt{'.' if mode else ''}{mode}{words}.{to}.{origin} %d, %a", (origin,), (to,), function)


def _finite(bits: int, type_: str, applies: bool) -> int:
    """.satfinite: an infinity becomes the largest finite number."""
    format_ = FORMATS[type_]
    return bits - 1 if applies and bits & ((1 << (format_.bits - 1)) - 1) == format_.infinity else bits


def _pairs() -> Iterator[Form]:
    for to in ("f16", "bf16"):
        for mode in ("rn", "rz"):
            for words in ("", ".relu", ".satfinite", ".relu.satfinite"):

                def one(bits: int, t=to, m=mode, w=words) -> int:
                    return _finite(finish(decode(bits, FORMATS["f32"]), t, m, relu="relu" in w), t, "satfinite" in w)

                yield Form(
                    f"cvt.{mode}{words}.{to}x2.f32 %d, %a, %b",
                    ("f32", "f32"),
                    (f"{to}x2",),
                    lambda a, b, f=one: f(a) << 16 | f(b),
                )
                if words == ".relu.satfinite":
                    yield Form(f"cvt.{mode}{words}.{to}.f32 %d, %a", ("f32",), (to,), one)
    for mode in ("rna", "rn", "rz"):
        for words in ("", ".satfinite") if mode == "rna" else ("", ".relu"):
            yield Form(
                f"cvt.{mode}{words}.tf32.f32 %d, %a", ("f32",), ("b32",), lambda a, m=mode, w=words: _tf32(a, m, w)
            )


def _tf32(bits: int, mode: str, words: str) -> int | None:
    value = decode(bits, FORMATS["f32"])
    if value.is_nan:
        return None
    if "relu" in words and value.negative:
        value = ZERO
    result = encode(value, numbers.Format(8, 10), mode)
    if "satfinite" in words and result & 0x3FFFF == numbers.Format(8, 10).infinity:
        result -= 1
    return result << 13


_FUNCTIONS: dict[str, Callable[[float], float]] = {
    "ex2": lambda x: math.inf if x >= 1024 else 2.0**x,
    "lg2": lambda x: -math.inf if x == 0 else math.log2(x),
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
    "rsqrt": lambda x: math.copysign(math.inf, x) if x == 0 else 1 / math.sqrt(x),
}


def _functions() -> Iterator[Form]:
    """The approximations: special values exactly, all others nearly."""
    for name, function in _FUNCTIONS.items():
        for ftz in (False, True) if name != "tanh" else (False,):

            def reference(a: int, g=function, f=ftz) -> int | None:
                value = decode(a, FORMATS["f32"], ftz=f)
                try:
                    result = math.nan if value.is_nan else g(value.approximately)
                except (ValueError, OverflowError):
                    result = math.nan
                if math.isnan(result):
                    return FORMATS["f32"].nan
                if math.isinf(result):
                    return encode(numbers.infinity(result < 0), FORMATS["f32"])
                return encode(numbers.exact(Fraction(result), math.copysign(1, result) < 0), FORMATS["f32"], ftz=f)

            yield Form(f"{name}.approx{'.ftz' if ftz else ''}.f32 %d, %a", ("f32",), ("f32",), reference, tolerance=1)
