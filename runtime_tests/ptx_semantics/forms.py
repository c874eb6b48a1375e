"""Every form of the instructions that compute on registers, with what each gives: text, operand types, reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from . import integers
from .integers import clamped, read, width

Reference = Callable[..., "int | tuple[int, ...] | None"]


@dataclass(frozen=True, slots=True)
class Form:
    """One instruction with its modifiers and types."""

    text: str
    """With %d, %e for what it writes and %a, %b, %c, %f for what it reads."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    reference: Reference
    """Bits of the operands to bits of the results; None where the ISA leaves the result open."""
    tolerance: int = 0
    """Units in the last place that a result may differ by."""


INTEGER_TYPES = ("u16", "s16", "u32", "s32", "u64", "s64")
_BITS = ("b16", "b32", "b64")


def integer_forms() -> Iterator[Form]:
    """Arithmetic, logic, shifts and bit fields."""
    yield from _arithmetic()
    yield from _logic()
    yield from _bit_fields()
    yield from _carries()
    yield from _comparisons()
    yield from _small()


_VALUES = {"pred": "u1", "amount": "u32", "lane": "u32", "step": "s32"}
"""Types as which specially drawn operands are read."""


def _form(text: str, inputs: str, output: str, function: Reference) -> Form:
    """A form whose reference takes values as its types read them."""
    types = tuple(inputs.split())

    def reference(*bits: int) -> int | tuple[int, ...] | None:
        return function(*(read(x, _VALUES.get(t, t)) for x, t in zip(bits, types, strict=True)))

    return Form(text, types, (output,), reference)


def _arithmetic() -> Iterator[Form]:
    for t in INTEGER_TYPES:
        yield _form(f"add.{t} %d, %a, %b", f"{t} {t}", t, lambda a, b: a + b)
        yield _form(f"sub.{t} %d, %a, %b", f"{t} {t}", t, lambda a, b: a - b)
        yield _form(f"min.{t} %d, %a, %b", f"{t} {t}", t, min)
        yield _form(f"max.{t} %d, %a, %b", f"{t} {t}", t, max)
        yield _form(f"div.{t} %d, %a, %b", f"{t} {t}", t, lambda a, b: integers.divide(a, b) if b else None)
        yield _form(f"rem.{t} %d, %a, %b", f"{t} {t}", t, lambda a, b: a - integers.divide(a, b) * b if b else None)
        yield _form(f"sad.{t} %d, %a, %b, %c", f"{t} {t} {t}", t, lambda a, b, c: abs(a - b) + c)
        size = width(t)
        yield _form(f"mul.lo.{t} %d, %a, %b", f"{t} {t}", t, lambda a, b: a * b)
        yield _form(f"mul.hi.{t} %d, %a, %b", f"{t} {t}", t, lambda a, b, n=size: a * b >> n)
        yield _form(f"mad.lo.{t} %d, %a, %b, %c", f"{t} {t} {t}", t, lambda a, b, c: a * b + c)
        yield _form(f"mad.hi.{t} %d, %a, %b, %c", f"{t} {t} {t}", t, lambda a, b, c, n=size: (a * b >> n) + c)
        if size < 64:
            wide = f"{t[0]}{2 * size}"
            yield _form(f"mul.wide.{t} %d, %a, %b", f"{t} {t}", wide, lambda a, b: a * b)
            yield _form(f"mad.wide.{t} %d, %a, %b, %c", f"{t} {t} {wide}", wide, lambda a, b, c: a * b + c)
        if t[0] == "s":
            yield _form(f"abs.{t} %d, %a", t, t, abs)
            yield _form(f"neg.{t} %d, %a", t, t, lambda a: -a)
    yield _form("add.sat.s32 %d, %a, %b", "s32 s32", "s32", lambda a, b: clamped(a + b, "s32"))
    yield _form("sub.sat.s32 %d, %a, %b", "s32 s32", "s32", lambda a, b: clamped(a - b, "s32"))
    yield _form(
        "mad.hi.sat.s32 %d, %a, %b, %c", "s32 s32 s32", "s32", lambda a, b, c: clamped((a * b >> 32) + c, "s32")
    )
    for name, pick in (("min", min), ("max", max)):
        yield _form(f"{name}.relu.s32 %d, %a, %b", "s32 s32", "s32", lambda a, b, f=pick: max(f(a, b), 0))
        for t in ("u16x2", "s16x2"):
            yield Form(f"{name}.{t} %d, %a, %b", ("u32", "u32"), ("u32",), _halves(pick, t[:3]))
        relu = _halves(lambda a, b, f=pick: max(f(a, b), 0), "s16")
        yield Form(f"{name}.relu.s16x2 %d, %a, %b", ("u32", "u32"), ("u32",), relu)
    for t in ("u16x2", "s16x2"):
        yield Form(f"add.{t} %d, %a, %b", ("u32", "u32"), ("u32",), _halves(lambda a, b: a + b, t[:3]))
    for t in ("u32", "s32"):
        short = f"{t[0]}24"
        for half, down in (("lo", 0), ("hi", 16)):
            yield Form(
                f"mul24.{half}.{t} %d, %a, %b",
                (t, t),
                (t,),
                lambda a, b, k=short, n=down: read(a, k) * read(b, k) >> n,
            )
            yield Form(
                f"mad24.{half}.{t} %d, %a, %b, %c",
                (t, t, t),
                (t,),
                lambda a, b, c, k=short, n=down: (read(a, k) * read(b, k) >> n) + c,
            )
    yield _form(
        "mad24.hi.sat.s32 %d, %a, %b, %c",
        "s32 s32 s32",
        "s32",
        lambda a, b, c: clamped(read((read(a, "s24") * read(b, "s24") >> 16), "s32") + c, "s32"),
    )


def _halves(function: Callable[[int, int], int], type_: str) -> Reference:
    def reference(a: int, b: int) -> int:
        low, high = (function(read(a >> n, type_), read(b >> n, type_)) & 0xFFFF for n in (0, 16))
        return high << 16 | low

    return reference


def _logic() -> Iterator[Form]:
    for t in _BITS:
        size = width(t)
        yield _form(f"and.{t} %d, %a, %b", f"{t} {t}", t, lambda a, b: a & b)
        yield _form(f"or.{t} %d, %a, %b", f"{t} {t}", t, lambda a, b: a | b)
        yield _form(f"xor.{t} %d, %a, %b", f"{t} {t}", t, lambda a, b: a ^ b)
        yield _form(f"not.{t} %d, %a", t, t, lambda a: ~a)
        yield _form(f"cnot.{t} %d, %a", t, t, lambda a: int(a == 0))
        yield _form(f"shl.{t} %d, %a, %b", f"{t} amount", t, lambda a, b, n=size: integers.shift_left(a, b, n))
        yield _form(f"selp.{t} %d, %a, %b, %p", f"{t} {t} pred", t, lambda a, b, p: a if p else b)
    for letter in "bus":
        for bits in (16, 32, 64):
            t = f"{letter}{bits}"
            yield _form(f"shr.{t} %d, %a, %b", f"{t} amount", t, lambda a, b, n=bits: a >> min(b, n))
    for mode in ("l", "r"):
        for limit in ("clamp", "wrap"):
            yield _form(
                f"shf.{mode}.{limit}.b32 %d, %a, %b, %c",
                "b32 b32 amount",
                "b32",
                lambda a, b, c, m=mode, w=limit: integers.funnel(a, b, c, left=m == "l", wrap=w == "wrap"),
            )
    for table in (0x80, 0x96, 0xE8, 0x1B, 0xCA, 0x00, 0xFF):
        yield _form(
            f"lop3.b32 %d, %a, %b, %c, {table:#x}",
            "b32 b32 b32",
            "b32",
            lambda a, b, c, n=table: integers.lop3(a, b, c, n),
        )
        for name in ("or", "and"):
            yield Form(
                f"lop3.{name}.b32 %d|%e, %a, %b, %c, {table:#x}, %p",
                ("b32", "b32", "b32", "pred"),
                ("b32", "pred"),
                lambda a, b, c, p, n=table, o=name: (
                    integers.lop3(a, b, c, n),
                    int((integers.lop3(a, b, c, n) != 0) | p if o == "or" else (integers.lop3(a, b, c, n) != 0) & p),
                ),
            )


def _bit_fields() -> Iterator[Form]:
    for t in ("u32", "s32", "u64", "s64"):
        yield Form(
            f"bfe.{t} %d, %a, %b, %c",
            (t, "amount", "amount"),
            (t,),
            lambda a, b, c, k=t: integers.bit_field(a, b, c, k),
        )
        for word in ("", ".shiftamt"):
            yield Form(
                f"bfind{word}.{t} %d, %a", (t,), ("u32",), lambda a, k=t, s=word: integers.find_top(a, k, shift=bool(s))
            )
    for t in ("b32", "b64"):
        size = width(t)
        yield _form(
            f"bfi.{t} %d, %a, %b, %c, %f",
            f"{t} {t} amount amount",
            t,
            lambda a, b, c, d, n=size: integers.insert(a, b, c, d, n),
        )
        yield _form(f"popc.{t} %d, %a", t, "u32", int.bit_count)
        yield _form(f"clz.{t} %d, %a", t, "u32", lambda a, n=size: n - a.bit_length())
        yield _form(f"brev.{t} %d, %a", t, t, lambda a, n=size: int(f"{a:0{n}b}"[::-1], 2))
    for limit in ("clamp", "wrap"):
        cut = (lambda n: min(n, 32)) if limit == "clamp" else (lambda n: n & 31)
        yield _form(
            f"bmsk.{limit}.b32 %d, %a, %b", "amount amount", "b32", lambda a, b, f=cut: ((1 << f(b)) - 1) << f(a)
        )
        for t in ("u32", "s32"):
            yield _form(
                f"szext.{limit}.{t} %d, %a, %b",
                f"{t} amount",
                t,
                lambda a, b, k=t[0], f=cut: read(a & 0xFFFFFFFF, f"{k}{f(b)}") if f(b) else 0,
            )
    for mode in ("", "f4e", "b4e", "rc8", "ecl", "ecr", "rc16"):
        yield _form(
            f"prmt.b32{'.' if mode else ''}{mode} %d, %a, %b, %c",
            "b32 b32 b32",
            "b32",
            lambda a, b, c, m=mode: integers.permute(a, b, c, m),
        )
    yield _form("fns.b32 %d, %a, %b, %c", "b32 lane step", "b32", integers.find_set)


def _carries() -> Iterator[Form]:
    """Pairs of instructions: what one sets, and what the other takes."""
    for bits in (32, 64):
        t, mask = f"u{bits}", (1 << bits) - 1
        for first in ("add", "sub", "mad.lo", "mad.hi"):
            for second in ("addc", "subc", "madc.lo", "madc.hi"):
                make = f"{first}.cc.{t} %d, %a, %b{', %c' if 'mad' in first else ''}"
                take = f"{second}.{t} %e, %b, %c{', %a' if 'mad' in second else ''}"

                def reference(a: int, b: int, c: int, f=first, s=second, n=bits, m=mask) -> tuple[int, int]:
                    product = a * b & m if f.endswith("lo") else a * b >> n
                    total = {"add": a + b, "sub": a + (b ^ m) + 1}.get(f, product + c)
                    carry = total >> n
                    again = b * c & m if s.endswith("lo") else b * c >> n
                    return total, {"addc": b + c, "subc": b + (c ^ m)}.get(s, again + a) + carry

                yield Form(f"{make}; {take}", (t, t, t), (t, t), reference)


_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}
COMBINE: dict[str, Callable[[int, int], int]] = {
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
}


def _comparisons() -> Iterator[Form]:
    alias = {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}
    for t in (*INTEGER_TYPES, *_BITS):
        names = ("eq", "ne") if t[0] == "b" else (*_COMPARE, *(alias if t[0] == "u" else ()))
        for name in names:
            compare = _COMPARE[alias.get(name, name)]
            yield _form(f"setp.{name}.{t} %d, %a, %b", f"{t} {t}", "pred", lambda a, b, f=compare: int(f(a, b)))
            if t[0] != "b":
                yield _form(f"set.{name}.s32.{t} %d, %a, %b", f"{t} {t}", "s32", lambda a, b, f=compare: -int(f(a, b)))
                yield _form(
                    f"set.{name}.f32.{t} %d, %a, %b", f"{t} {t}", "b32", lambda a, b, f=compare: 0x3F800000 * f(a, b)
                )
            for word, combine in COMBINE.items():
                yield Form(
                    f"setp.{name}.{word}.{t} %d|%e, %a, %b, !%p",
                    (t, t, "pred"),
                    ("pred", "pred"),
                    lambda a, b, p, f=compare, g=combine, k=t: (
                        g(int(f(read(a, k), read(b, k))), 1 - p),
                        g(int(not f(read(a, k), read(b, k))), 1 - p),
                    ),
                )
    for t in (*INTEGER_TYPES, *_BITS):
        yield _form(f"slct.{t}.s32 %d, %a, %b, %c", f"{t} {t} s32", t, lambda a, b, c: a if c >= 0 else b)


def _small() -> Iterator[Form]:
    """Dot products, and conversions between integers."""
    for x in ("u32", "s32"):
        for y in ("u32", "s32"):
            yield Form(
                f"dp4a.{x}.{y} %d, %a, %b, %c",
                ("b32", "b32", "b32"),
                ("b32",),
                lambda a, b, c, k=(x, y): integers.dot(a, b, c, k, halves=False, high=False),
            )
            for half in ("lo", "hi"):
                yield Form(
                    f"dp2a.{half}.{x}.{y} %d, %a, %b, %c",
                    ("b32", "b32", "b32"),
                    ("b32",),
                    lambda a, b, c, k=(x, y), h=half: integers.dot(a, b, c, k, halves=True, high=h == "hi"),
                )
    every = ("u8", "s8", *INTEGER_TYPES)
    for to in every:
        for origin in every:
            yield _form(f"cvt.{to}.{origin} %d, %a", origin, to, lambda a: a)
            low, high = integers.limits(to)
            least, most = integers.limits(origin)
            if least < low or most > high:
                yield _form(f"cvt.sat.{to}.{origin} %d, %a", origin, to, lambda a, k=to: clamped(a, k))
    for to in ("u16", "s16"):
        yield _form(
            f"cvt.pack.sat.{to}.s32 %d, %a, %b", "s32 s32", "b32", lambda a, b, k=to: integers.packed(a, b, 0, k)
        )
    for bits in (2, 4, 8):
        for letter in "us":
            yield _form(
                f"cvt.pack.sat.{letter}{bits}.s32.b32 %d, %a, %b, %c",
                "s32 s32 b32",
                "b32",
                lambda a, b, c, k=f"{letter}{bits}": integers.packed(a, b, c, k),
            )
