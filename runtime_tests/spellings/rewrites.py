"""Changes of one expression: those that keep its value in real numbers (`EQUAL`), and those that do not (`WRONG`).

Each returns None where it does not apply. A `WRONG` one may give an equal value at some place: who uses it evaluates.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from runtime_tests.match.scalar_graphs import graph
from runtime_tests.spellings.terms import Term, tree_of
from substitute.model.laws import LAWS

FLOATS = frozenset(("f32", "f16", "bf16"))
Rewrite = Callable[[Term, random.Random], Term | None]


def _call(op: str, like: Term, *operands: Term, attribute: object = None, type_: str = "") -> Term:
    name = f"arith.{op}" if op in _ARITH else f"math.{op}"
    return Term(name, type_ or like.type, operands, attribute)


_ARITH = frozenset(("addf", "subf", "mulf", "divf", "negf", "maximumf", "minimumf", "select", "cmpf"))


def _const(value: float, like: Term) -> Term:
    return Term("constant", like.type, (), float(np.float32(value)))


def _is(term: Term, *ops: str) -> bool:
    return term.op.partition(".")[2] in ops


def _is_const(term: Term) -> bool:
    return term.op == "constant" and isinstance(term.attribute, float)


def commute(t: Term, rng: random.Random) -> Term | None:
    return replace(t, operands=t.operands[::-1]) if _is(t, "addf", "mulf", "maximumf", "minimumf") else None


def associate(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "addf", "mulf") or t.operands[0].op != t.op:
        return None
    (a, b), c = t.operands[0].operands, t.operands[1]
    return replace(t, operands=(a, replace(t, operands=(b, c))))


def subtract_by_adding(t: Term, rng: random.Random) -> Term | None:
    return _call("addf", t, t.operands[0], _call("negf", t, t.operands[1])) if _is(t, "subf") else None


def negate_by_product(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "negf"):
        return None
    if rng.random() < 0.5:
        return _call("mulf", t, t.operands[0], _const(-1, t))
    return _call("subf", t, _const(0, t), t.operands[0])


def negate_twice(t: Term, rng: random.Random) -> Term | None:
    return _call("negf", t, _call("negf", t, t)) if t.type in FLOATS and rng.random() < 0.3 else None


def move_sign(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "mulf", "divf"):
        return None
    a, b = t.operands
    return replace(t, operands=(_call("negf", t, a), _call("negf", t, b)))


def reciprocal(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "divf"):
        return None
    a, b = t.operands
    if _is_const(b) and rng.random() < 0.7:
        return _call("mulf", t, a, _const(1 / float(str(b.attribute)), t))
    return _call("mulf", t, a, _call("divf", t, _const(1, t), b))


def quotient(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "mulf") or not _is_const(t.operands[1]) or not t.operands[1].attribute:
        return None
    return _call("divf", t, t.operands[0], _const(1 / float(str(t.operands[1].attribute)), t))


def root(t: Term, rng: random.Random) -> Term | None:
    if _is(t, "rsqrt"):
        if rng.random() < 0.5:
            return _call("powf", t, t.operands[0], _const(-0.5, t))
        return _call("divf", t, _const(1, t), _call("sqrt", t, t.operands[0]))
    if _is(t, "divf") and _is(t.operands[1], "sqrt"):
        return _call("mulf", t, t.operands[0], _call("rsqrt", t, *t.operands[1].operands))
    return None


def power(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "mulf"):
        return None
    a, b = t.operands
    if a == b:
        return _call("powf", t, a, _const(2, t))
    if _is(a, "mulf") and a.operands == (b, b):
        return _call("powf", t, b, _const(3, t))
    return None


def choose(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "maximumf", "minimumf") or not _is_const(t.operands[1]):
        return None
    a, b = t.operands
    up = _is(t, "maximumf")
    if rng.random() < 0.5:
        return _call("select", t, _call("cmpf", t, a, b, attribute="ugt" if up else "ult", type_="i1"), a, b)
    return _call("select", t, _call("cmpf", t, a, b, attribute="olt" if up else "ogt", type_="i1"), b, a)


_INVERSE = {
    "olt": "uge",
    "ole": "ugt",
    "ogt": "ule",
    "oge": "ult",
    "ult": "oge",
    "ule": "ogt",
    "ugt": "ole",
    "uge": "olt",
}
_SWAPPED = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}


def swap_arms(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "select") or not _is(t.operands[0], "cmpf"):
        return None
    condition, a, b = t.operands
    inverse = replace(condition, attribute=_INVERSE[str(condition.attribute)])
    return replace(t, operands=(inverse, b, a))


def swap_comparison(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "cmpf"):
        return None
    predicate = str(t.attribute)
    return replace(t, operands=t.operands[::-1], attribute=predicate[0] + _SWAPPED[predicate[1:]])


def split_constant(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "mulf") or not _is_const(t.operands[0]):
        return None
    half = _const(float(str(t.operands[0].attribute)) / 2, t)
    return _call("mulf", t, half, _call("mulf", t, _const(2, t), t.operands[1]))


def distribute(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "mulf"):
        return None
    for a, b in (t.operands, t.operands[::-1]):
        if _is_const(a) and _is(b, "addf"):
            return _call("addf", t, _call("mulf", t, a, b.operands[0]), _call("mulf", t, b.operands[1], a))
    return None


def factor_out(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "addf") or not all(_is(o, "mulf") for o in t.operands):
        return None
    (a, b), (c, d) = (o.operands for o in t.operands)
    return _call("mulf", t, a, _call("addf", t, b, d)) if a == c else None


def turn_difference(t: Term, rng: random.Random) -> Term | None:
    return _call("negf", t, _call("subf", t, *t.operands[::-1])) if _is(t, "subf") else None


def approximate(t: Term, rng: random.Random) -> Term | None:
    """Write `erf` and `erfc` as polynomials and exponentials, as a frontend without these functions does."""
    law = _APPROXIMATIONS.get(t.op) if t.type == "f32" else None
    return None if law is None else _put_argument(law, t.operands[0])


@cache
def _law_term(name: str) -> Term:
    formula = graph(LAWS[name].left)
    return tree_of(formula, formula.results[0])


def _put_argument(name: str, argument: Term) -> Term:
    def put(t: Term) -> Term:
        return argument if t.op == "read" else replace(t, operands=tuple(put(o) for o in t.operands))

    return put(_law_term(name))


_APPROXIMATIONS = {"math.erf": "error-function", "math.erfc": "complement-of-error-function"}

EQUAL: tuple[Rewrite, ...] = (
    commute,
    commute,
    associate,
    subtract_by_adding,
    negate_by_product,
    negate_twice,
    move_sign,
    reciprocal,
    quotient,
    root,
    power,
    choose,
    swap_arms,
    swap_comparison,
    split_constant,
    distribute,
    factor_out,
    turn_difference,
    approximate,
)


def another_constant(t: Term, rng: random.Random) -> Term | None:
    if not _is_const(t):
        return None
    value = float(str(t.attribute))
    changes = (value * 1.01, value * 2, -value, value + 1, value / 3, 0.0, value * 0.9995, 1.0)
    return replace(t, attribute=float(np.float32(rng.choice(changes))))


def another_function(t: Term, rng: random.Random) -> Term | None:
    families = (
        ("exp", "exp2", "expm1"),
        ("tanh", "erf", "atan"),
        ("sqrt", "rsqrt", "cbrt"),
        ("log", "log2", "log1p"),
        ("addf", "subf", "mulf", "divf"),
        ("maximumf", "minimumf"),
    )
    name = t.op.partition(".")[2]
    family = next((f for f in families if name in f), None)
    if family is None:
        return None
    return _call(rng.choice([n for n in family if n != name]), t, *t.operands)


def swap_operands(t: Term, rng: random.Random) -> Term | None:
    return replace(t, operands=t.operands[::-1]) if _is(t, "subf", "divf", "cmpf") else None


def swap_choice(t: Term, rng: random.Random) -> Term | None:
    return replace(t, operands=(t.operands[0], t.operands[2], t.operands[1])) if _is(t, "select") else None


def drop(t: Term, rng: random.Random) -> Term | None:
    if len(t.operands) != 2 or _is(t, "cmpf"):
        return None
    return rng.choice(t.operands)


def drop_function(t: Term, rng: random.Random) -> Term | None:
    return t.operands[0] if len(t.operands) == 1 and t.operands[0].type == t.type else None


def another_read(t: Term, rng: random.Random) -> Term | None:
    return replace(t, attribute=rng.randrange(4)) if t.op == "read" else None


def twice(t: Term, rng: random.Random) -> Term | None:
    if t.type not in FLOATS:
        return None
    op = rng.choice(("mulf", "addf", "absf", "negf"))
    return _call(op, t, *((t, t) if op in ("mulf", "addf") else (t,)))


def shift(t: Term, rng: random.Random) -> Term | None:
    return _call("addf", t, t, _const(rng.choice((1e-3, 1.0, -1.0, 1e-5)), t)) if t.type == "f32" else None


def another_predicate(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "cmpf"):
        return None
    return replace(t, attribute=rng.choice(("oeq", "ogt", "olt", "one", "uge")))


def approximate_badly(t: Term, rng: random.Random) -> Term | None:
    """Write `erf` as `approximate` does, with one number changed."""
    law = _APPROXIMATIONS.get(t.op) if t.type == "f32" else None
    if law is None:
        return None
    formula = _put_argument(law, Term("read", "f32", (), -1))
    path = rng.choice([p for p in formula.paths() if _is_const(formula.at(p))])
    number = formula.at(path)
    factor = 1 + rng.choice((-1, 1)) * rng.choice((1e-4, 1e-3, 0.01, 0.1))
    changed = formula.put(path, replace(number, attribute=float(str(number.attribute)) * factor))

    def put(u: Term) -> Term:
        return t.operands[0] if u.op == "read" else replace(u, operands=tuple(put(o) for o in u.operands))

    return put(changed)


WRONG: tuple[Rewrite, ...] = (
    another_constant,
    another_constant,
    another_function,
    another_function,
    swap_operands,
    swap_choice,
    drop,
    drop,
    drop_function,
    another_read,
    another_read,
    twice,
    shift,
    another_predicate,
    approximate_badly,
)
