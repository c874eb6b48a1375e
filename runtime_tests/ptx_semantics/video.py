"""Forms of the video instructions, from the ISA's pseudo code.

Source: PTX ISA 9.7.17 "Scalar Video Instructions", 9.7.18 "SIMD Video Instructions".
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator

from .forms import Form
from .integers import clamped, read

_BASIC: dict[str, Callable[[int, int], int]] = {
    "vadd": lambda a, b: a + b,
    "vsub": lambda a, b: a - b,
    "vabsdiff": lambda a, b: abs(a - b),
    "vmin": min,
    "vmax": max,
}
_TESTS = {name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")}
_TYPES = ("u32", "s32")
_SECOND: dict[str, Callable[[int, int], int]] = {"add": lambda a, b: a + b, "min": min, "max": max}
_PARTS = {"": (0, 32), "b0": (0, 8), "b3": (24, 8), "h1": (16, 16)}


def _part(bits: int, part: str, type_: str) -> int:
    first, size = _PARTS[part]
    return read(bits >> first, f"{type_[0]}{size}")


def video_forms() -> Iterator[Form]:
    """A choice of all their combinations."""
    inputs, outputs = ("b32", "b32", "b32"), ("b32",)
    for name, basic in _BASIC.items():
        for d in _TYPES:
            for a in _TYPES:
                for b in _TYPES:
                    for sat in ("", ".sat"):
                        yield from _scalar(f"{name}.{d}.{a}.{b}{sat}", basic, (d, a, b), bool(sat))
    for a in _TYPES:
        for b in _TYPES:
            for name, test in _TESTS.items():
                yield Form(
                    f"vset.{a}.{b}.{name} %d, %a, %b.h1",
                    inputs[:2],
                    outputs,
                    lambda x, y, f=test, t=(a, b): int(f(read(x, t[0]), _part(y, "h1", t[1]))),
                )
    for d in _TYPES:
        for a in _TYPES:
            for mode in ("clamp", "wrap"):
                for name in ("vshl", "vshr"):

                    def shifted(x: int, y: int, n=name, m=mode, t=a) -> int:
                        amount = y & 31 if m == "wrap" else min(y, 32)
                        return read(x, t) << amount if n == "vshl" else read(x, t) >> amount

                    yield Form(f"{name}.{d}.{a}.u32.{mode} %d, %a, %b", ("b32", "amount"), outputs, shifted)
                    yield Form(
                        f"{name}.{d}.{a}.u32.{mode}.add %d, %a, %b, %c",
                        ("b32", "amount", "b32"),
                        outputs,
                        lambda x, y, z, f=shifted: f(x, y) + z,
                    )
            yield Form(
                f"vmad.{d}.{a}.{a}.shr7 %d, %a.b3, %b.h1, %c",
                inputs,
                outputs,
                lambda x, y, z, t=a: _part(x, "b3", t) * _part(y, "h1", t) + read(z, t) >> 7,
            )
    yield from _lanes()


def _scalar(text: str, basic: Callable[[int, int], int], types: tuple[str, str, str], sat: bool) -> Iterator[Form]:
    d, a, b = types

    def value(x: int, y: int, size: int = 32, first: str = "", second: str = "") -> int:
        found = basic(_part(x, first, a), _part(y, second, b))
        return clamped(found, f"{d[0]}{size}") if sat else found

    inputs, outputs = ("b32", "b32", "b32"), ("b32",)
    yield Form(f"{text} %d, %a, %b", inputs[:2], outputs, lambda x, y: value(x, y))
    yield Form(f"{text} %d, %a.b0, %b.h1", inputs[:2], outputs, lambda x, y: value(x, y, 32, "b0", "h1"))
    yield Form(
        f"{text} %d.h1, %a, %b, %c", inputs, outputs, lambda x, y, z: (z & 0xFFFF) | (value(x, y, 16) & 0xFFFF) << 16
    )
    for word, second in _SECOND.items():
        yield Form(
            f"{text}.{word} %d, %a, %b, %c",
            inputs,
            outputs,
            lambda x, y, z, f=second: f(read(value(x, y), d), read(z, d)),
        )


def _lanes() -> Iterator[Form]:
    inputs, outputs = ("b32", "b32", "b32"), ("b32",)
    average = {"vavrg": lambda a, b: (a + b + (a + b >= 0)) >> 1}
    for lanes in (2, 4):
        size = 32 // lanes
        for name, basic in {**_BASIC, **average}.items():
            for d in _TYPES:
                for a, b in (("u32", "u32"), ("s32", "s32"), ("u32", "s32")):
                    for words in ("", ".sat", ".add"):

                        def each(x: int, y: int, z: int, f=basic, n=size, t=(d, a, b), w=words) -> int:
                            values = [
                                f(read(x >> at, f"{t[1][0]}{n}"), read(y >> at, f"{t[2][0]}{n}"))
                                for at in range(0, 32, n)
                            ]
                            if w == ".sat":
                                values = [clamped(v, f"{t[0][0]}{n}") for v in values]
                            if w == ".add":
                                return z + sum(read(v, f"{t[0][0]}{n}") for v in values)
                            return sum((v & ((1 << n) - 1)) << n * k for k, v in enumerate(values))

                        yield Form(f"{name}{lanes}.{d}.{a}.{b}{words} %d, %a, %b, %c", inputs, outputs, each)
