"""Alignment that a kernel asks of its operands: what is certain of where they begin."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtime_tests.match.definitions import matmul_dispatch, matmul_kernel
from runtime_tests.match.kernels import accepted, refused
from substitute.match.alignment import divisor
from substitute.model.dispatch import Dispatch
from substitute.model.index import add, apply, mul, push

pytestmark = pytest.mark.compile


def moved(dispatch: Dispatch, offset: object) -> Dispatch:
    """Return the dispatch with its first operand at an offset in its binding."""
    assert dispatch.program is not None
    first, *others = dispatch.program.operands
    operands = (replace(first, byte_offset=offset), *others)  # type: ignore[arg-type]
    return replace(dispatch, program=replace(dispatch.program, operands=operands))


@pytest.mark.parametrize(
    ("alignment", "offset", "known"),
    [
        (16, 4, 4),
        (32, 16, 16),
        (64, 96, 32),
        (8, push(0), 1),
        (8, mul(push(0), 4), 4),
        (16, add(mul(push(0), 16), 8), 8),
    ],
)
def test_operands_elsewhere_are_refused(alignment: int, offset: object, known: int) -> None:
    rule = refused(matmul_kernel(alignment=alignment), moved(matmul_dispatch(4, 16, 8), offset))
    assert rule.name == "layout.alignment"
    assert rule.expected == f"operands at multiples of {alignment} bytes"
    assert rule.found == f"binding 0 from byte {offset}, a multiple of {known} for certain"


@pytest.mark.parametrize(
    ("alignment", "offset"),
    [(64, 0), (64, 128), (16, 48), (1, push(0)), (16, mul(push(0), 32)), (8, add(mul(push(0), 16), 8))],
)
def test_twin_operands_that_are_aligned(alignment: int, offset: object) -> None:
    accepted(matmul_kernel(alignment=alignment), moved(matmul_dispatch(4, 16, 8), offset))


def test_divisors() -> None:
    assert [divisor(v) for v in (0, 12, push(0), mul(mul(push(0), 4), 6))] == [0, 12, 1, 24]
    assert divisor(apply("min", mul(push(0), 12), 8)) == 4
    assert divisor(apply("floordiv", mul(push(0), 12), 5)) == 1
