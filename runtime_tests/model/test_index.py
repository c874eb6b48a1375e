"""Index expressions: what they print reads back, and folding never changes their value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from substitute.model.index import (
    FUNCTIONS,
    Expr,
    Index,
    add,
    apply,
    evaluate,
    leaves,
    mul,
    parse,
    product,
    push,
    substitute,
    symbol,
)

pytestmark = pytest.mark.unit

BINARY = sorted(set(FUNCTIONS) - {"trunc32", "sext32", "shl", "shr", "floordiv", "ceildiv", "rem", "u64"})
DIVISIONS = ("floordiv", "ceildiv", "rem")
LEAVES = st.one_of(st.integers(-(2**40), 2**40), st.integers(0, 3).map(push), st.sampled_from("MNK").map(symbol))


def grow(inner: st.SearchStrategy[Index]) -> st.SearchStrategy[Index]:
    return st.one_of(
        st.builds(lambda op, a, b: Expr(op, (a, b)), st.sampled_from(BINARY), inner, inner),
        st.builds(lambda op, a, b: Expr(op, (a, b)), st.sampled_from(DIVISIONS), inner, st.integers(1, 99)),
        st.builds(lambda op, a, b: Expr(op, (a, b)), st.sampled_from(["shl", "shr"]), inner, st.integers(0, 8)),
        st.builds(lambda op, a: Expr(op, (a,)), st.sampled_from(["trunc32", "sext32"]), inner),
        st.builds(lambda a, b: Expr("u64", (push(a), push(b))), st.integers(0, 3), st.integers(0, 3)),
    )


INDICES: st.SearchStrategy[Index] = st.recursive(LEAVES, grow, max_leaves=12)
WORDS = st.tuples(*[st.integers(0, 2**32 - 1)] * 4)
SIZES = st.fixed_dictionaries({name: st.integers(0, 10_000) for name in "MNK"})


@given(INDICES)
def test_what_it_prints_reads_back(index: Index) -> None:
    assert parse(str(index)) == index


@given(INDICES, WORDS, SIZES)
def test_folding_keeps_the_value(index: Index, words: tuple[int, ...], sizes: dict[str, int]) -> None:
    """`substitute` with nothing to replace folds every operation again."""
    assert evaluate(substitute(index, {}), words, sizes) == evaluate(index, words, sizes)


@given(INDICES, WORDS, SIZES)
def test_substituting_all_symbols_leaves_none(index: Index, words: tuple[int, ...], sizes: dict[str, int]) -> None:
    static = substitute(index, sizes)
    assert not any(leaf.op == "symbol" for leaf in leaves(static))
    assert evaluate(static, words) == evaluate(index, words, sizes)


@given(INDICES)
def test_leaves_are_what_the_value_depends_on(index: Index) -> None:
    assert all(str(leaf) in str(index) for leaf in leaves(index))
    assert bool(leaves(index)) == ("push" in str(index) or any(n in str(index) for n in "MNK"))


def test_neutral_values_vanish() -> None:
    m = symbol("M")
    assert (add(m, 0), add(0, m), mul(m, 1), mul(1, m), mul(0, m), mul(m, 0)) == (m, m, m, m, 0, 0)
    assert (apply("sub", m, 0), apply("shl", m, 0), apply("floordiv", m, 1), apply("ceildiv", m, 1)) == (m, m, m, m)


def test_twin_other_values_stay() -> None:
    m = symbol("M")
    assert add(m, 1) == Expr("add", (m, 1))
    assert mul(2, m) == Expr("mul", (m, 2))
    assert apply("sub", 0, m) == Expr("sub", (0, m))
    assert apply("floordiv", m, 2) == Expr("floordiv", (m, 2))


def test_the_same_sum_in_two_orders_is_equal_data() -> None:
    assert add(4, symbol("M")) == add(symbol("M"), 4)
    assert mul(4, push(1)) == mul(push(1), 4)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("u64(push(0), push(1))", (3 << 32) | 7),
        ("ceildiv(M, 4)", 3),
        ("floordiv(sub(M, 12), 4)", -1),
        ("rem(sub(M, 12), 4)", 2),
        ("trunc32(4294967301)", 5),
        ("sext32(4294967295)", -1),
        ("shl(M, 63)", 0),
        ("min(M, push(0))", 7),
        ("-3", -3),
    ],
)
def test_values(text: str, value: int) -> None:
    assert evaluate(parse(text), (7, 3), {"M": 10}) == value


def test_products() -> None:
    assert product(()) == 1
    assert product((2, 3, 4)) == 24
    assert product((symbol("M"), 1, 3)) == Expr("mul", (symbol("M"), 3))


@pytest.mark.parametrize("text", ["", "M +", "M + 1", "push(M)", "open('x')", "1.5", "'a'", "f(1)", "[1]", "-M", "M.N"])
def test_what_is_no_index_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an index expression"):
        parse(text)


def test_what_is_not_known_is_an_error() -> None:
    with pytest.raises(KeyError):
        evaluate(symbol("M"))
    with pytest.raises(IndexError):
        evaluate(push(2), (1, 2))
