"""The constraint language: what it accepts, what it means, and how it points at mistakes."""

import random
from textwrap import dedent

import pytest

from substitute.errors import ManifestError
from substitute.model.constraints import (
    Comparison,
    Logic,
    constraint_to_index,
    describe_sizes,
    evaluate_constraint,
    parse_constraint,
    parse_size,
    render_size,
)
from substitute.model.index import Expr, evaluate, push, symbol

pytestmark = pytest.mark.unit
AXES = ("M", "N", "K")


def holds(text: str, **sizes: int) -> bool:
    return evaluate_constraint(parse_constraint(text, AXES), sizes)


@pytest.mark.parametrize(
    ("text", "true", "false"),
    [
        ("N % 16 == 0", {"N": 32}, {"N": 33}),
        ("16 <= N < 64", {"N": 16}, {"N": 64}),
        ("1 <= M <= N <= 9", {"M": 2, "N": 9}, {"M": 5, "N": 4}),
        ("M == 1 or N == 1", {"M": 5, "N": 1}, {"M": 5, "N": 5}),
        ("not (M == 1 and N == 1)", {"M": 1, "N": 2}, {"M": 1, "N": 1}),
        ("min(M, N, K) >= 4", {"M": 4, "N": 5, "K": 6}, {"M": 4, "N": 5, "K": 3}),
        ("max(M, N) - 1 < 8", {"M": 8, "N": 1}, {"M": 9, "N": 1}),
        ("ceildiv(N, 64) * M <= 65535", {"N": 65, "M": 1}, {"N": 64 * 65535 + 1, "M": 1}),
        ("N // 8 != -1", {"N": 0}, {"N": -1}),
        ("M % N == 0", {"M": 8, "N": 4}, {"M": 9, "N": 4}),
        ("2 > 1", {}, None),
        ("1 > 2", None, {}),
    ],
)
def test_meaning(text: str, true: dict[str, int] | None, false: dict[str, int] | None) -> None:
    if true is not None:
        assert holds(text, **true)
    if false is not None:
        assert not holds(text, **false)


def test_division_by_zero_is_false_even_under_not() -> None:
    assert not holds("M % N == 0", M=8, N=0)
    assert not holds("not M % N == 0", M=8, N=0)
    assert holds("not M % N == 0", M=9, N=2)


def random_size(rng: random.Random, depth: int) -> str:
    if depth == 0 or rng.random() < 0.2:
        return rng.choice([*AXES, str(rng.randrange(0, 40))])
    a, b = random_size(rng, depth - 1), random_size(rng, depth - 1)
    return rng.choice(
        [
            f"({a} + {b})",
            f"({a} - {b})",
            f"({a} * {b})",
            f"({a} // {rng.randrange(1, 9)})",
            f"({a} % {rng.randrange(1, 9)})",
            f"min({a}, {b})",
            f"max({a}, {b})",
        ]
    )


def random_condition(rng: random.Random, depth: int) -> str:
    if depth == 0:
        return f"{random_size(rng, 2)} {rng.choice(['==', '!=', '<', '<=', '>', '>='])} {random_size(rng, 2)}"
    a, b = random_condition(rng, depth - 1), random_condition(rng, depth - 1)
    return rng.choice([f"({a} and {b})", f"({a} or {b})", f"not ({a})"])


@pytest.mark.parametrize("seed", range(60))
def test_means_what_python_means(seed: int) -> None:
    rng = random.Random(seed)
    text = random_condition(rng, rng.randrange(0, 3))
    if len(text) > 400:
        text = random_condition(rng, 0)
    sizes = {axis: rng.randrange(0, 50) for axis in AXES}
    assert holds(text, **sizes) == eval(text, {"min": min, "max": max}, dict(sizes)), (text, sizes)


def test_axes_are_those_of_the_text() -> None:
    assert parse_constraint("M % 4 == 0 and K > 1", AXES).axes == {"M", "K"}
    assert parse_constraint("1 == 1", AXES).axes == frozenset()


def test_constraint_over_launch_time_sizes_is_a_tree() -> None:
    constraint = parse_constraint("N % 16 == 0 and M >= 4", AXES)
    tree = constraint_to_index(constraint, {"N": push(0), "M": 8})
    assert tree == Comparison(predicate="eq", left=Expr("rem", (push(0), 16)), right=0)  # M is known, and folded away
    assert str(tree) == "push(0) % 16 == 0"
    assert constraint_to_index(constraint, {"N": push(0), "M": 2}) is False


def test_run_time_divisors_are_guarded() -> None:
    tree = constraint_to_index(parse_constraint("M % N == 0", AXES), {"M": push(0), "N": push(1)})
    assert isinstance(tree, Logic)
    assert str(tree) == "push(1) >= 1 and push(0) % max(push(1), 1) == 0"


def test_tree_of_or_and_not() -> None:
    tree = constraint_to_index(parse_constraint("not (M < 2 or N < 2)", AXES), {"M": push(0), "N": push(1)})
    assert str(tree) == "not (push(0) < 2 or push(1) < 2)"


def test_sizes() -> None:
    size = parse_size("ceildiv(N, 64) * (M + 1)", AXES)
    assert evaluate(size, symbols={"N": 65, "M": 2}) == 6
    assert render_size(size) == "ceildiv(N, 64) * (M + 1)"
    assert parse_size("2 * 3 + 1", AXES) == 7
    assert parse_size(" N ", AXES) == symbol("N")
    assert evaluate(parse_size("M // N", AXES), symbols={"M": 5, "N": 0}) == 5


def test_description_of_sizes() -> None:
    constraint = parse_constraint("K > 1 and N % 2 == 0", AXES)
    assert describe_sizes(constraint, {"N": 3, "K": push(2), "M": 1}) == "K = push(2), N = 3"


ALLOWED = "integers, axes, + - * // %, min(…), max(…), ceildiv(…, …) and parentheses"
CONDITION = f"a condition: comparisons (== != < <= > >=) of {ALLOWED}, joined by and, or, not"


@pytest.mark.parametrize(
    ("text", "column", "what", "expected"),
    [
        ("N % 16 = 0", 8, "`=` is not a comparison", "`==`"),
        ("N %% 16 == 0", 4, "cannot be parsed", CONDITION),
        ("N", 1, "`N` is a number, not a condition", CONDITION),
        ("M == 1 and N % 16", 12, "`N % 16` is a number, not a condition", CONDITION),
        ("P > 1", 1, "unknown axis `P`", "one of K, M, N"),
        ("M > 1 and P > 1", 11, "unknown axis `P`", "one of K, M, N"),
        ("N / 2 == 1", 1, "`/` is not an integer division", "`//` or `ceildiv(…, …)`"),
        ("N ** 2 == 1", 1, "`N ** 2` is not allowed here", CONDITION),
        ("N == 1.5", 6, "`1.5` is not allowed here", CONDITION),
        ("N == True", 6, "`True` is not allowed here", CONDITION),
        ("True", 1, "`True` is not allowed here", CONDITION),
        ("N in (1, 2)", 1, "this comparison is not allowed here", CONDITION),
        ("__import__('os')", 1, "`__import__('os')` is not allowed here", CONDITION),
        ("M.real == 1", 1, "`M.real` is not allowed here", CONDITION),
        ("ceildiv(N) == 1", 1, "`ceildiv` has 1 argument", "2 arguments"),
        ("N % 0 == 0", 5, "a division by 0", "a divisor of at least 1"),
        ("N % (2 - 3) == 0", 6, "a division by -1", "a divisor of at least 1"),
        ("N == 99999999999999999999", 6, "the integer does not fit 64 bits", "at most 9223372036854775807"),
        ("  P > 1", 3, "unknown axis `P`", "one of K, M, N"),
        ("", 1, "an empty expression", CONDITION),
        ("(N > 1) + 1 == 2", 2, "`N > 1` is not allowed here", CONDITION),
        ("N == 1 and 'é' == N", 12, "`'é'` is not allowed here", CONDITION),
        ("N > 1 +" + " 1 +" * 100 + " 1", 1, "an expression of 409 characters is too long", "at most 400"),
        ("(" * 190 + "N" + ")" * 190 + " > 1\0", 1, "cannot be parsed", CONDITION),
    ],
)
def test_mistakes_are_pointed_at(text: str, column: int, what: str, expected: str) -> None:
    with pytest.raises(ManifestError) as caught:
        parse_constraint(text, AXES)
    assert caught.value.what.startswith(what)
    assert caught.value.expected == expected
    assert caught.value.source is not None
    assert caught.value.source.column == column


def test_whole_message() -> None:
    with pytest.raises(ManifestError) as caught:
        parse_constraint("n % 16 == 0", AXES, where="kernel.toml: constraints[0]")
    assert str(caught.value) == dedent(
        """\
        kernel.toml: constraints[0]: unknown axis `n`
             1 | n % 16 == 0
               | ^
          expected:  one of K, M, N
          next:      did you mean `N`?"""
    )


def test_missing_size_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        holds("N > 1", M=1)
