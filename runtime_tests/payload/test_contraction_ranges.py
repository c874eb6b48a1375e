"""Intervals of integer expressions against all values that they can have."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kernels.contraction.ranges import fits_i16, value_range
from substitute.model.scalar import GraphBuilder

pytestmark = pytest.mark.unit

WIDTHS = {"i8": np.int8, "i16": np.int16, "i32": np.int32}
Build = Callable[[GraphBuilder, int, int], int]
Compute = Callable[[Any, Any], Any]


def _op(name: str, type_: str = "i16") -> Build:
    return lambda g, a, b: g.add(name, type_, (a, b))


EXPRESSIONS: list[tuple[Build, Compute]] = [
    (_op("arith.addi"), lambda a, b: a + b),
    (_op("arith.subi"), lambda a, b: a - b),
    (_op("arith.muli"), lambda a, b: a * b),
    (_op("arith.maxsi"), np.maximum),
    (_op("arith.minsi"), np.minimum),
    (
        lambda g, a, b: g.add("arith.trunci", "i8", (g.add("arith.addi", "i16", (a, b)),)),
        lambda a, b: (a + b).astype(np.int8),
    ),
    (
        lambda g, a, b: g.add("arith.extui", "i32", (g.add("arith.subi", "i16", (a, b)),)),
        lambda a, b: (a - b).astype(np.uint16),
    ),
    (lambda g, a, b: g.add("arith.xori", "i16", (a, b)), lambda a, b: a ^ b),
    (
        lambda g, a, b: g.add("arith.muli", "i16", (a, g.add("constant", "i16", (), 200))),
        lambda a, b: (a * 200).astype(np.int16),
    ),
]


@pytest.mark.parametrize(("left", "right"), list(itertools.product(("arith.extsi", "arith.extui"), repeat=2)))
@pytest.mark.parametrize("number", range(len(EXPRESSIONS)))
def test_every_value_lies_in_the_range(number: int, left: str, right: str) -> None:
    construct, compute = EXPRESSIONS[number]
    g = GraphBuilder()
    sides = [g.add(op, "i16", (g.add("read", "i8", (), at),)) for at, op in enumerate((left, right))]
    root = construct(g, *sides)
    graph = g.graph((root,))
    least, most = value_range(graph, graph.results[0]) or (0, 0)
    every = np.arange(-128, 128, dtype=np.int8)
    a, b = (every if op == "arith.extsi" else every.view(np.uint8) for op in (left, right))
    values = compute(a.astype(np.int16)[:, None], b.astype(np.int16)[None])
    assert least <= values.min() and values.max() <= most
    # products and sums of what is read once reach both ends, unless they wrap around
    if number < 5 and (most - least) < (1 << 16) - 1 and number != 2:
        assert (least, most) == (values.min(), values.max())


def test_what_fits_i16() -> None:
    def fits(element: str, extend: str, zero: int) -> bool:
        g = GraphBuilder()
        wide = g.add(extend, "i32", (g.add("read", element, (), 0),))
        root = g.add("arith.subi", "i32", (wide, g.add("constant", "i32", (), zero)))
        return fits_i16(g.graph((root,)), root)

    assert fits("i8", "arith.extsi", 128) and fits("i8", "arith.extui", 255) and fits("i16", "arith.extsi", 0)
    assert not fits("i16", "arith.extsi", 1) and not fits("i16", "arith.extsi", -1)
    assert not fits("i16", "arith.extui", 0)
    g = GraphBuilder()
    assert not fits_i16(g.graph((g.add("read", "i32", (), 0),)), 0)
    g = GraphBuilder()
    assert not fits_i16(g.graph((g.add("read", "f32", (), 0),)), 0)
