"""Integer operations compared with Python's unbounded integers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime_tests.golden.functions import elementwise, evaluate, value
from substitute.golden import integers, rules
from substitute.golden.numbers import Arithmetic, Num, element_of

pytestmark = pytest.mark.unit
HOW = Arithmetic()


def wrapped(number: int, bits: int) -> int:
    return (number + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def natural(number: int, bits: int) -> int:
    return number % (1 << bits)


def truncated(a: int, b: int) -> int:
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


EXPECTED: dict[str, Callable[[int, int, int], int]] = {
    "arith.addi": lambda a, b, n: a + b,
    "arith.subi": lambda a, b, n: a - b,
    "arith.muli": lambda a, b, n: a * b,
    "arith.andi": lambda a, b, n: a & b,
    "arith.ori": lambda a, b, n: a | b,
    "arith.xori": lambda a, b, n: a ^ b,
    "arith.maxsi": lambda a, b, n: max(a, b),
    "arith.minsi": lambda a, b, n: min(a, b),
    "arith.maxui": lambda a, b, n: max(natural(a, n), natural(b, n)),
    "arith.minui": lambda a, b, n: min(natural(a, n), natural(b, n)),
    "arith.divsi": lambda a, b, n: truncated(a, b),
    "arith.divui": lambda a, b, n: natural(a, n) // natural(b, n),
    "arith.floordivsi": lambda a, b, n: a // b,
    "arith.ceildivsi": lambda a, b, n: -(-a // b),
    "arith.ceildivui": lambda a, b, n: -(-natural(a, n) // natural(b, n)),
    "arith.remsi": lambda a, b, n: a - truncated(a, b) * b,
    "arith.remui": lambda a, b, n: natural(a, n) % natural(b, n),
    "arith.shli": lambda a, b, n: a << b,
    "arith.shrsi": lambda a, b, n: a >> b,
    "arith.shrui": lambda a, b, n: natural(a, n) >> b,
}
DIVIDES = ("div", "rem")


def test_all_binary_operations_are_tested() -> None:
    assert {name for name, _ in integers.BINARY} == {*EXPECTED, "math.ipowi"}


def apply(name: str, bits: int, *numbers: int) -> int:
    element = element_of(f"i{bits}")
    operands = [Num(np.array([n], element.compute)) for n in numbers]
    scalar = rules.Scalar(operands=(element,) * len(numbers), result=element)
    with np.errstate(all="ignore"):
        found = rules.RULES[name](HOW, scalar, operands)
    assert found.error is None
    return int(found.value[0])


@pytest.mark.parametrize("bits", [4, 8, 16, 32, 64])
@pytest.mark.parametrize("name", EXPECTED)
@settings(max_examples=30)
@given(data=st.data())
def test_binary(name: str, bits: int, data: st.DataObject) -> None:
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    a = data.draw(st.integers(low, high))
    b = data.draw(st.integers(0, bits - 1) if "sh" in name else st.integers(low, high))
    if any(word in name for word in DIVIDES) and b == 0:
        return
    assert apply(name, bits, a, b) == wrapped(EXPECTED[name](a, b, bits), bits)


@given(a=st.integers(-128, 127), b=st.integers(0, 12))
def test_power(a: int, b: int) -> None:
    assert apply("math.ipowi", 32, a, b) == wrapped(a**b, 32)


def test_power_with_a_negative_exponent_truncates() -> None:
    assert [apply("math.ipowi", 32, a, -3) for a in (2, 1, -1)] == [0, 1, -1]


@pytest.mark.parametrize("bits", [8, 32, 64])
@given(data=st.data())
def test_counting(bits: int, data: st.DataObject) -> None:
    a = data.draw(st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1))
    word = natural(a, bits)
    text = f"{word:0{bits}b}"
    assert apply("math.ctpop", bits, a) == text.count("1")
    assert apply("math.ctlz", bits, a) == len(text) - len(text.lstrip("0"))
    assert apply("math.cttz", bits, a) == len(text) - len(text.rstrip("0"))
    assert apply("math.absi", bits, a) == wrapped(abs(a), bits)


PREDICATES: dict[str, Callable[[int, int, int], bool]] = {
    "eq": lambda a, b, n: a == b,
    "ne": lambda a, b, n: a != b,
    "slt": lambda a, b, n: a < b,
    "sle": lambda a, b, n: a <= b,
    "sgt": lambda a, b, n: a > b,
    "sge": lambda a, b, n: a >= b,
    "ult": lambda a, b, n: natural(a, n) < natural(b, n),
    "ule": lambda a, b, n: natural(a, n) <= natural(b, n),
    "ugt": lambda a, b, n: natural(a, n) > natural(b, n),
    "uge": lambda a, b, n: natural(a, n) >= natural(b, n),
}


@pytest.mark.parametrize("predicate", PREDICATES)
@pytest.mark.parametrize("type_", ["i1", "i8", "i32"])
def test_comparison_as_spelled(predicate: str, type_: str) -> None:
    bits = int(type_[1:])
    numbers = [0, 1] if bits == 1 else [0, 1, -1, 5, -128, 127]
    a, b = (np.array(x) for x in zip(*[(x, y) for x in numbers for y in numbers], strict=True))
    dtype = bool if bits == 1 else f"int{bits}"
    text = elementwise("arith.cmpi", (type_, type_), "i1", len(a), f"{predicate}, ")
    # a set i1 is −1 where it is signed
    signed = [(-x, -y) if bits == 1 else (x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    expected = [PREDICATES[predicate](x, y, bits) for x, y in signed]
    assert value(text, a.astype(dtype), b.astype(dtype)).tolist() == expected


@pytest.mark.parametrize(
    ("op", "source", "target", "numbers", "expected"),
    [
        ("arith.extsi", "i8", "i32", [-1, 127, -128], [-1, 127, -128]),
        ("arith.extui", "i8", "i32", [-1, 127, -128], [255, 127, 128]),
        ("arith.trunci", "i32", "i8", [300, -1, 128], [44, -1, -128]),
        ("arith.trunci", "i32", "i1", [2, 3, -1], [False, True, True]),
        ("arith.extui", "i1", "i32", [0, 1], [0, 1]),
        ("arith.extsi", "i1", "i32", [0, 1], [0, -1]),
        ("arith.sitofp", "i8", "f32", [-1, 127], [-1.0, 127.0]),
        ("arith.uitofp", "i8", "f32", [-1, 127], [255.0, 127.0]),
        ("arith.sitofp", "i1", "f32", [0, 1], [0.0, -1.0]),
        ("arith.uitofp", "i1", "f32", [0, 1], [0.0, 1.0]),
        ("arith.fptosi", "f32", "i32", [2.9, -2.9, -0.5], [2, -2, 0]),
        ("arith.fptosi", "f32", "i64", [2.0**40, -3.5, 0.9], [2**40, -3, 0]),
        ("arith.fptoui", "f32", "i8", [200.7, 0.0], [-56, 0]),
        ("arith.bitcast", "f32", "i32", [1.0, -0.0], [0x3F800000, -(2**31)]),
    ],
)
def test_conversions(op: str, source: str, target: str, numbers: list[float], expected: list[float]) -> None:
    text = elementwise(op, (source,), target, len(numbers), spelled=f"{source} to {target}")
    dtype = {"i1": bool, "f32": np.float32}.get(source, f"int{source[1:]}")
    assert value(text, np.array(numbers, dtype)).tolist() == expected


def test_conversion_out_of_range_saturates_and_says_that_nothing_is_known() -> None:
    element, source = element_of("i8"), element_of("f32")
    scalar = rules.Scalar(operands=(source,), result=element)
    found = rules.RULES["arith.fptosi"](HOW, scalar, [Num(np.array([300.0, -300.0, 5.5, np.nan]))])
    assert found.value.tolist() == [127, -128, 5, 0]
    assert found.errors().tolist() == [np.inf, np.inf, 0.0, np.inf]


def test_an_uncertain_number_makes_an_uncertain_integer() -> None:
    """Twin of the exact cases: a float that may be on either side of 3 truncates to 2 or 3."""
    element, source = element_of("i32"), element_of("f32")
    scalar = rules.Scalar(operands=(source,), result=element)
    x = Num(np.array([2.9999999, 2.5]), np.array([1e-3, 1e-3]))
    found = rules.RULES["arith.fptosi"](HOW, scalar, [x])
    assert found.errors().tolist() == [1.0, 0.0]
    added = rules.RULES["arith.addi"](HOW, rules.Scalar(operands=(element, element), result=element), [found, found])
    assert added.errors().tolist() == [2.0, 0.0]


UNDEFINED = {
    "arith.shli": [(1, 31), (1, 32), (1, -1)],
    "arith.shrsi": [(-8, 31), (-8, 32), (-8, 40)],
    "arith.shrui": [(8, 31), (8, 32), (8, -3)],
    "arith.divsi": [(7, 2), (7, 0), (-(2**31), -1)],
    "arith.divui": [(-(2**31), -1), (7, 0), (0, 0)],
    "arith.remsi": [(-7, -1), (7, 0), (-(2**31), -1)],
    "arith.addi overflow<nsw>": [(2**31 - 1, -1), (2**31 - 1, 1), (-(2**31), -1)],
    "arith.addi overflow<nuw>": [(2**31 - 1, 1), (-1, 1), (-1, -1)],
    "arith.muli overflow<nsw>": [(2**15, 2**15), (2**16, 2**16), (2**31 - 1, 2)],
}
"""For each operation a pair with a result and two without."""


@pytest.mark.parametrize("op", UNDEFINED)
def test_what_mlir_leaves_open_is_unknown(op: str) -> None:
    a, b = (np.array(column, np.int64).astype(np.int32) for column in zip(*UNDEFINED[op], strict=True))
    name, _, flags = op.partition(" ")
    text = elementwise(name, ("i32", "i32"), "i32", 3)
    if flags:
        text = text.replace("%x0, %x1 : i32", f"%x0, %x1 {flags} : i32")
    (found,) = evaluate(text, a, b)
    assert found.error.tolist() == [0.0, np.inf, np.inf]


@pytest.mark.parametrize("count", [4, 400])
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 7, 12, 24, 48])
def test_constants_of_any_width(bits: int, count: int) -> None:
    """Few elements print as numbers, many as bytes."""
    ends = [-(1 << (bits - 1)), (1 << (bits - 1)) - 1, 0, -1] * (count // 4)
    found = value(f"""
func.func @f() -> tensor<{count}xi64> {{
  %c = arith.constant dense<{ends}> : tensor<{count}xi{bits}>
  %r = arith.extsi %c : tensor<{count}xi{bits}> to tensor<{count}xi64>
  return %r : tensor<{count}xi64>
}}""")
    assert found.tolist() == ends
