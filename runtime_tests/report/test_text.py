"""Numbers, shapes and names as people read them."""

import pytest

from substitute.model.dispatch import TensorType
from substitute.model.index import Index, add, mul, push, symbol
from substitute.model.plan import Decision, Plan
from substitute.report.text import (
    find_common_prefix,
    format_axes,
    format_backends,
    format_count,
    format_expression,
    format_operand_axes,
    format_operations,
    format_signature,
    format_size,
    format_tensor,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (1234567, "1.23 M"),
        (99_949_999, "99.9 M"),
        (99_950_000, "100 M"),
        (999_499, "999 k"),
        (999_500, "1.00 M"),
        (2_663_383_040, "2.66 G"),
        (10**22, "10000 E"),
        (None, "?"),
        (push(0), "dynamic"),
    ],
)
def test_counts(value: Index | None, text: str) -> None:
    assert format_count(value) == text


def test_count_with_unit() -> None:
    assert format_count(12, "B") == "12 B"
    assert format_count(12345, "B") == "12.3 kB"


def test_shapes() -> None:
    shape = (4, symbol("M"), push(0), mul(push(0), 4))
    assert format_tensor(TensorType(shape=shape, element="f16")) == "4xMx?x?xf16"
    assert format_tensor(TensorType(shape=(), element="i1")) == "i1"
    assert format_size(add(symbol("M"), 1)) == "M + 1"


def test_signature_and_operations(plan: Plan) -> None:
    program = plan.dispatches[0].program
    assert program is not None
    assert format_signature(program.operands) == "64x48xf32, 48x32xf32 → 64x32xf32"
    assert format_signature(program.operands[:1] * 3) == "64x48xf32 (×3) → ()"
    assert format_operations(("linalg.fill", "linalg.generic", "linalg.generic", "iree_linalg_ext.sort")) == (
        "fill, generic (×2), sort"
    )


def test_kernel_and_match(accepted: Decision) -> None:
    assert accepted.match is not None
    assert format_axes(accepted.match) == "M = 8·8, N = 32, K = 1"
    assert format_operand_axes(accepted.kernel) == "a[M,K] b[K,N] c[M,N]"
    assert format_backends(accepted.kernel) == "llvm-cpu (avx2)"


def test_common_prefix(plan: Plan) -> None:
    assert find_common_prefix(plan.dispatches) == "m$async_dispatch_"
    assert find_common_prefix(plan.dispatches[:1]) == ""


def test_long_expressions_are_not_shown() -> None:
    assert format_expression(add(push(0), 1)) == "push(0) + 1"
    long: Index = push(0)
    for number in range(1, 9):
        long = add(long, push(number))
    assert format_expression(long) == "?"
