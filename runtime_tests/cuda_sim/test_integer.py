"""Integer instructions, each against Python integers put together as the PTX ISA's text says."""

import numpy as np
import pytest

from runtime_tests.cuda_sim.lane_programs import apply
from substitute.device.cuda_sim.faults import LoadError

pytestmark = pytest.mark.unit
RANDOM = np.random.default_rng(11)
N = 256


def operands(type_: str, count: int) -> list[np.ndarray]:
    """Random bits, and the corners against each other."""
    size = int(type_[1:]) // 8
    dtype = np.dtype(f"{'i' if type_[0] == 's' else 'u'}{size}")
    corners = np.array([0, 1, 2, 7, (1 << (8 * size - 1)) - 1, 1 << (8 * size - 1), (1 << 8 * size) - 1], "u8")
    made = []
    for number in range(count):
        values = RANDOM.integers(0, 1 << 63, N, dtype="u8") * np.uint64(2) + RANDOM.integers(0, 2, N, dtype="u8")
        values[:49] = np.repeat(corners, 7) if number == 0 else np.tile(corners, 7)
        values[50:90] = values[50:90] >> np.uint64(60)
        made.append(values.astype(f"u{size}").view(dtype))
    return made


def wrap(value: int, type_: str) -> int:
    bits = int(type_[1:])
    value &= (1 << bits) - 1
    return value - (1 << bits) if type_[0] == "s" and value >> (bits - 1) else value


def towards_zero(a: int, b: int) -> int:
    quotient = abs(a) // abs(b)
    return -quotient if (a < 0) != (b < 0) else quotient


def check(body: str, type_: str, count: int, expected, result: str | None = None, *, nonzero: bool = False) -> None:
    arguments = operands(type_, count)
    if nonzero:
        arguments[1][arguments[1] == 0] = 3
    result = result or type_
    dtype = ("i" if result[0] == "s" else "u") + str(int(result[1:]) // 8)
    (found,) = apply(body, arguments, [dtype])
    for position, values in enumerate(zip(*(a.tolist() for a in arguments), strict=True)):
        assert int(found[position]) == wrap(expected(*values), result), (body, values)


WIDTHS = ["u16", "s16", "u32", "s32", "u64", "s64"]


@pytest.mark.parametrize("type_", WIDTHS)
def test_sums_products_and_quotients(type_):
    check(f"add.{type_} %d0, %a0, %a1;", type_, 2, lambda a, b: a + b)
    check(f"sub.{type_} %d0, %a0, %a1;", type_, 2, lambda a, b: a - b)
    check(f"mul.lo.{type_} %d0, %a0, %a1;", type_, 2, lambda a, b: a * b)
    check(f"mul.hi.{type_} %d0, %a0, %a1;", type_, 2, lambda a, b: (a * b) >> int(type_[1:]))
    check(f"mad.lo.{type_} %d0, %a0, %a1, %a2;", type_, 3, lambda a, b, c: a * b + c)
    check(f"mad.hi.{type_} %d0, %a0, %a1, %a2;", type_, 3, lambda a, b, c: ((a * b) >> int(type_[1:])) + c)
    check(f"div.{type_} %d0, %a0, %a1;", type_, 2, towards_zero, nonzero=True)
    check(f"rem.{type_} %d0, %a0, %a1;", type_, 2, lambda a, b: a - towards_zero(a, b) * b, nonzero=True)
    check(f"min.{type_} %d0, %a0, %a1;", type_, 2, min)
    check(f"max.{type_} %d0, %a0, %a1;", type_, 2, max)
    check(f"sad.{type_} %d0, %a0, %a1, %a2;", type_, 3, lambda a, b, c: abs(a - b) + c, "u" + type_[1:])


@pytest.mark.parametrize("type_", ["u16", "s16", "u32", "s32"])
def test_wide_products(type_):
    wide = f"{type_[0]}{2 * int(type_[1:])}"
    check(f"mul.wide.{type_} %d0, %a0, %a1;", type_, 2, lambda a, b: a * b, wide)
    check(f"mad.wide.{type_} %d0, %a0, %a1, %d0;".replace("%d0;", "7;"), type_, 2, lambda a, b: a * b + 7, wide)


def test_signs_and_saturation():
    check("abs.s32 %d0, %a0;", "s32", 1, abs)
    check("neg.s64 %d0, %a0;", "s64", 1, lambda a: -a)
    clamp = lambda v: max(-(2**31), min(2**31 - 1, v))  # noqa: E731
    check("add.sat.s32 %d0, %a0, %a1;", "s32", 2, lambda a, b: clamp(a + b))
    check("sub.sat.s32 %d0, %a0, %a1;", "s32", 2, lambda a, b: clamp(a - b))
    low = lambda v: wrap(v & 0xFFFFFF, "u32") - ((v & 0x800000) << 1)  # noqa: E731
    check("mul24.lo.s32 %d0, %a0, %a1;", "s32", 2, lambda a, b: low(a) * low(b))
    check("mul24.hi.u32 %d0, %a0, %a1;", "u32", 2, lambda a, b: ((a & 0xFFFFFF) * (b & 0xFFFFFF)) >> 16)


def test_extended_precision_is_one_long_addition():
    a, b, c, d = (RANDOM.integers(0, 1 << 32, N, dtype="u4") for _ in range(4))
    a[:20] = 0xFFFFFFFF
    low, high = apply("add.cc.u32 %d0, %a0, %a1; addc.u32 %d1, %a2, %a3;", [a, b, c, d], ["u4", "u4"])
    borrow_low, borrow_high = apply("sub.cc.u32 %d0, %a0, %a1; subc.u32 %d1, %a2, %a3;", [a, b, c, d], ["u4", "u4"])
    for n in range(N):
        x, y = int(a[n]) | int(c[n]) << 32, int(b[n]) | int(d[n]) << 32
        assert int(low[n]) | int(high[n]) << 32 == (x + y) % 2**64
        assert int(borrow_low[n]) | int(borrow_high[n]) << 32 == (x - y) % 2**64
    low, high = apply("mad.lo.cc.u32 %d0, %a0, %a1, %a2; madc.hi.u32 %d1, %a0, %a1, %a3;", [a, b, c, d], ["u4", "u4"])
    for n in range(N):
        exact = int(a[n]) * int(b[n]) + (int(c[n]) | int(d[n]) << 32)
        assert int(low[n]) | int(high[n]) << 32 == exact % 2**64


@pytest.mark.parametrize("type_", ["b32", "b64"])
def test_bits(type_):
    bits, u = int(type_[1:]), "u" + type_[1:]
    mask = (1 << bits) - 1
    check(f"and.{type_} %d0, %a0, %a1;", u, 2, lambda a, b: a & b)
    check(f"or.{type_} %d0, %a0, %a1;", u, 2, lambda a, b: a | b)
    check(f"xor.{type_} %d0, %a0, %a1;", u, 2, lambda a, b: a ^ b)
    check(f"not.{type_} %d0, %a0;", u, 1, lambda a: ~a)
    check(f"cnot.{type_} %d0, %a0;", u, 1, lambda a: int(a == 0))
    check(f"popc.{type_} %d0, %a0;", u, 1, lambda a: a.bit_count(), "u32")
    check(f"clz.{type_} %d0, %a0;", u, 1, lambda a: bits - a.bit_length(), "u32")
    check(f"brev.{type_} %d0, %a0;", u, 1, lambda a: int(f"{a & mask:0{bits}b}"[::-1], 2))
    check(f"bfind.u{bits} %d0, %a0;", u, 1, lambda a: a.bit_length() - 1, "u32")
    check(f"bfind.shiftamt.u{bits} %d0, %a0;", u, 1, lambda a: bits - a.bit_length() if a else -1, "u32")
    check(f"bfind.s{bits} %d0, %a0;", "s" + type_[1:], 1, lambda a: (a if a >= 0 else ~a).bit_length() - 1, "u32")


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_shifts_clamp_their_amount(bits):
    raw = operands(f"u{bits}", 1)[0]
    amount = RANDOM.integers(0, 2 * bits, N).astype("u4")
    amount[:3] = (bits - 1, bits, 0xFFFFFFFF)
    (left,) = apply(f"shl.b{bits} %d0, %a0, %a1;", [raw, amount], [f"u{bits // 8}"])
    (right,) = apply(f"shr.u{bits} %d0, %a0, %a1;", [raw, amount], [f"u{bits // 8}"])
    (signed,) = apply(f"shr.s{bits} %d0, %a0, %a1;", [raw.view(f"i{bits // 8}"), amount], [f"i{bits // 8}"])
    for n in range(N):
        a, s = int(raw[n]), min(int(amount[n]), bits)
        assert int(left[n]) == (a << s) % (1 << bits)
        assert int(right[n]) == a >> s
        assert int(signed[n]) == wrap(a, f"s{bits}") >> s


def test_funnel_shifts():
    low, high, amount = (RANDOM.integers(0, 1 << 32, N, dtype="u4") for _ in range(3))
    amount[:64] = np.arange(64)
    both = [int(lo) | int(hi) << 32 for lo, hi in zip(low, high, strict=True)]
    for mode, rule in (("wrap", lambda n: n & 31), ("clamp", lambda n: min(n, 32))):
        (left,) = apply(f"shf.l.{mode}.b32 %d0, %a0, %a1, %a2;", [low, high, amount], ["u4"])
        (right,) = apply(f"shf.r.{mode}.b32 %d0, %a0, %a1, %a2;", [low, high, amount], ["u4"])
        for n in range(N):
            s = rule(int(amount[n]))
            assert int(left[n]) == (both[n] << s) >> 32 & 0xFFFFFFFF
            assert int(right[n]) == both[n] >> s & 0xFFFFFFFF


@pytest.mark.parametrize("type_", ["u32", "s32", "u64", "s64"])
def test_bit_fields(type_):
    bits = int(type_[1:])
    (a, b) = operands(type_, 2)
    position, length = (RANDOM.integers(0, 70, N).astype("u4") for _ in range(2))
    position[:4], length[:4] = (0, 31, 255, 300), (0, 1, 255, 4)
    out = f"{'i' if type_[0] == 's' else 'u'}{bits // 8}"
    (field,) = apply(f"bfe.{type_} %d0, %a0, %a1, %a2;", [a, position, length], [out])
    unsigned = [x.view(f"u{bits // 8}") for x in (a, b)]
    (inserted,) = apply(f"bfi.b{bits} %d0, %a0, %a1, %a2, %a3;", [*unsigned, position, length], [f"u{bits // 8}"])
    for n in range(N):
        p, count = int(position[n]) & 255, int(length[n]) & 255
        value = int(unsigned[0][n])
        # PTX ISA 9.7.1.20: bits one by one, with the sign bit of the field (or 0) after the end
        sign = 0
        if type_[0] == "s" and count:
            sign = value >> min(p + count - 1, bits - 1) & 1
        expected = sum((value >> p + j & 1 if j < count and p + j < bits else sign) << j for j in range(bits))
        assert int(field[n]) == wrap(expected, type_), (value, p, count)
        other = int(unsigned[1][n])
        for j in range(count):
            if p + j < bits:
                other = other & ~(1 << p + j) | (value >> j & 1) << p + j
        assert int(inserted[n]) == other


def test_lop3_is_any_function():
    a, b, c = operands("u32", 3)
    for table in (0x00, 0xFF, 0x96, 0xE8, 0xCA, 0x1B, 0x40):
        (found,) = apply(f"lop3.b32 %d0, %a0, %a1, %a2, {table};", [a, b, c], ["u4"])
        for n in range(0, N, 5):
            expected = 0
            for bit in range(32):
                row = (int(a[n]) >> bit & 1) << 2 | (int(b[n]) >> bit & 1) << 1 | int(c[n]) >> bit & 1
                expected |= (table >> row & 1) << bit
            assert int(found[n]) == expected


def test_prmt():
    a, b, c = operands("u32", 3)
    (found,) = apply("prmt.b32 %d0, %a0, %a1, %a2;", [a, b, c], ["u4"])
    rows = {
        "f4e": lambda s: [s, s + 1, s + 2, s + 3],
        "b4e": lambda s: [s, (s - 1) % 8, (s - 2) % 8, (s - 3) % 8],
        "rc8": lambda s: [s] * 4,
        "ecl": lambda s: [max(s, j) for j in range(4)],
        "ecr": lambda s: [min(s, j) for j in range(4)],
        "rc16": lambda s: [(s & 1) * 2 + j % 2 for j in range(4)],
    }
    special = {mode: apply(f"prmt.b32.{mode} %d0, %a0, %a1, %a2;", [a, b, c], ["u4"])[0] for mode in rows}
    for n in range(N):
        source = (int(a[n]) | int(b[n]) << 32).to_bytes(8, "little")
        expected = []
        for j in range(4):
            code = int(c[n]) >> 4 * j & 15
            byte = source[code & 7]
            expected.append((255 if byte & 128 else 0) if code & 8 else byte)
        assert int(found[n]) == int.from_bytes(bytes(expected), "little")
        for mode, rule in rows.items():
            picked = bytes(source[k] for k in rule(int(c[n]) & 3))
            assert int(special[mode][n]) == int.from_bytes(picked, "little"), mode


def test_dot_products():
    a, b, c = operands("u32", 3)
    for left in ("u32", "s32"):
        for right in ("u32", "s32"):
            result = "s32" if "s32" in (left, right) else "u32"
            letters = {"u32": "u", "s32": "i"}
            x, y = a.view(letters[left] + "1").reshape(-1, 4), b.view(letters[right] + "1").reshape(-1, 4)
            (found,) = apply(f"dp4a.{left}.{right} %d0, %a0, %a1, %a2;", [a, b, c], ["u4"])
            (low,) = apply(f"dp2a.lo.{left}.{right} %d0, %a0, %a1, %a2;", [a, b, c], ["u4"])
            (high,) = apply(f"dp2a.hi.{left}.{right} %d0, %a0, %a1, %a2;", [a, b, c], ["u4"])
            halves = a.view(letters[left] + "2").reshape(-1, 2)
            for n in range(N):
                four = sum(int(p) * int(q) for p, q in zip(x[n], y[n], strict=True))
                assert int(found[n]) == wrap(four + int(c[n]), "u32"), result
                pairs = [sum(int(halves[n][j]) * int(y[n][j + s]) for j in (0, 1)) for s in (0, 2)]
                assert (int(low[n]), int(high[n])) == tuple(wrap(v + int(c[n]), "u32") for v in pairs)


def test_masks_and_extension():
    start, width = (RANDOM.integers(0, 40, N).astype("u4") for _ in range(2))
    (mask,) = apply("bmsk.clamp.b32 %d0, %a0, %a1;", [start, width], ["u4"])
    (kept,) = apply("szext.clamp.s32 %d0, %a0, %a1;", [operands("s32", 1)[0], width], ["i4"])
    values = operands("s32", 1)[0]
    (kept,) = apply("szext.clamp.s32 %d0, %a0, %a1;", [values, width], ["i4"])
    for n in range(N):
        s, w = min(int(start[n]), 32), min(int(width[n]), 32)
        assert int(mask[n]) == ((1 << w) - 1 << s) & 0xFFFFFFFF
        low = int(values[n]) & (1 << w) - 1
        assert int(kept[n]) == (low - (1 << w) if w and low >> w - 1 else low)


@pytest.mark.parametrize("type_", ["s32", "u32", "s64", "u16"])
def test_comparisons(type_):
    a, b = operands(type_, 2)
    rules = {
        "eq": lambda x, y: x == y,
        "ne": lambda x, y: x != y,
        "lt": lambda x, y: x < y,
        "le": lambda x, y: x <= y,
        "gt": lambda x, y: x > y,
        "ge": lambda x, y: x >= y,
    }
    for name, rule in rules.items():
        body = f"setp.{name}.{type_} %p, %a0, %a1; selp.u32 %d0, 1, 0, %p;"
        assert (apply(body, [a, b], ["u4"])[0] == rule(a, b)).all()
    body = f"setp.lt.{type_} %q, %a0, 5; setp.gt.and.{type_} %p|%q, %a0, %a1, %q;"
    body += " selp.u32 %d0, 1, 0, %p; selp.u32 %d1, 1, 0, %q;"
    first, second = apply(body, [a, b], ["u4", "u4"])
    assert (first == ((a > b) & (a < 5))).all() and (second == (~(a > b) & (a < 5))).all()
    (wide,) = apply(f"set.le.u32.{type_} %d0, %a0, %a1;", [a, b], ["u4"])
    assert (wide == np.where(a <= b, 0xFFFFFFFF, 0)).all()
    (chosen,) = apply("slct.u32.s32 %d0, 1, 2, %a0;", [a.astype("i4")], ["u4"])
    assert (chosen == np.where(a.astype("i4") >= 0, 1, 2)).all()


def test_modifiers_may_stand_behind_the_type():
    """As ptxas accepts them; one that the type does not have is refused there as well."""
    clamp = lambda v: max(-(2**31), min(2**31 - 1, v))  # noqa: E731
    check("add.s32.sat %d0, %a0, %a1;", "s32", 2, lambda a, b: clamp(a + b))
    values = operands("s32", 1)[0]
    (clamped,) = apply("cvt.u8.sat.s32 %a0, %a0; mov.u32 %d0, %a0;", [values], ["i4"])
    assert (clamped == np.clip(values, 0, 255)).all()
    with pytest.raises(LoadError, match=r"the modifier \.sat of add\.u32"):
        apply("add.u32.sat %d0, %a0, %a0;", [values], ["i4"])


def test_integer_conversions():
    values = operands("s32", 1)[0]
    (low,) = apply("cvt.s8.s32 %a0, %a0; mov.u32 %d0, %a0;", [values], ["i4"])
    assert (low == values.astype("i1")).all()
    (clamped,) = apply("cvt.sat.u8.s32 %a0, %a0; mov.u32 %d0, %a0;", [values], ["i4"])
    assert (clamped == np.clip(values, 0, 255)).all()
    (wide,) = apply("cvt.s64.s32 %d0, %a0;", [values], ["i8"])
    assert (wide == values).all()
    (packed,) = apply("cvt.pack.sat.s16.s32 %d0, %a0, %a1;", [values, values[::-1]], ["u4"])
    clip = lambda v: np.clip(v, -32768, 32767).astype("i2").view("u2").astype("u4")  # noqa: E731
    assert (packed == (clip(values) << 16 | clip(values[::-1]))).all()
