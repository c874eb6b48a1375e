"""Approximations of special functions are found by their values, whatever the formula."""

from __future__ import annotations

import pytest

from runtime_tests.match.normal_forms import unified
from runtime_tests.match.scalar_graphs import graph
from substitute.match import by_laws
from substitute.match.normal import special
from substitute.match.normal.special import name_functions
from substitute.model.laws import LAWS

pytestmark = pytest.mark.unit

ERF, ERFC = LAWS["error-function"].left, LAWS["complement-of-error-function"].left
BOTH = frozenset(special.APPROXIMATED)


def test_an_approximation_inside_of_an_operation_is_found() -> None:
    gelu = "0.5 * a * (1.0 + erf(a))"
    assert unified(gelu, f"a * (0.5 * (1.0 + {ERF}))")
    assert unified("b * erfc(a)", f"{ERFC} * b")


def test_each_function_is_its_own() -> None:
    assert not unified("erfc(a)", ERF)
    assert not unified("erf(a)", ERFC)
    # a kernel with 1 - erf(a) has no digit left where erfc(a) has all
    assert not unified("1.0 - erf(a)", ERFC)


@pytest.mark.parametrize(
    ("name", "number", "other"),
    [
        ("erf(a)", "1.1283791670955126", "1.12838"),
        ("erf(a)", "-1.26551223", "-1.26552"),
        ("erf(a)", "-0.18628806", "-0.1866"),
        ("erf(a)", "1.0 - ", "1.000001 - "),
        ("erf(a)", "- a * a", "+ a * a"),
        ("erf(a)", "lt(a, 0.0)", "gt(a, 0.0)"),
        ("erf(a)", "lt(absf(a), 1.0)", "lt(absf(a), 3.0)"),
        ("erfc(a)", "1.1283791670955126", "1.129"),
        ("erfc(a)", "-1.26551223", "-1.265513"),
        ("erfc(a)", "0.17087277", "0.170875"),
        ("erfc(a)", "2.0 -", "2.000001 -"),
        ("erfc(a)", "lt(a, 0.0)", "lt(a, 0.3)"),
    ],
)
def test_a_changed_number_is_another_function(name: str, number: str, other: str) -> None:
    formula = {"erf(a)": ERF, "erfc(a)": ERFC}[name]
    changed = formula.replace(number, other)
    assert changed != formula
    assert unified(name, formula)
    assert not unified(name, changed)


def test_a_tolerance_of_a_percent_accepts_a_changed_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin of the above: it is the tolerance that refuses."""
    monkeypatch.setattr(special, "_TOLERANCE", 0.01)
    changed = ERF.replace("-1.26551223", "-1.2656")
    assert changed != ERF
    assert unified("erf(a)", changed)


def test_two_arguments_are_no_function_of_one() -> None:
    assert not unified("erf(a)", ERF.replace("a * a", "b * a", 1))
    assert not name_functions(graph(ERF.replace("a * a", "b * a", 1)), BOTH).laws


def test_other_nodes_keep_their_numbers() -> None:
    made = graph(f"b + {ERF}")
    named = name_functions(made, BOTH).nodes
    assert [node.op for node in named if node != special._UNUSED] == ["read", "read", "math.erf", "arith.addf"]
    kept = [at for at, (old, new) in enumerate(zip(made.nodes, named, strict=True)) if old == new]
    assert {made.nodes[at].op for at in kept} >= {"read", "arith.addf"}
    # a value of the formula that something else needs stays
    (at,) = (n for n, node in enumerate(graph(f"absf(a) + {ERF}").nodes) if node.op == "math.absf")
    assert name_functions(graph(f"absf(a) + {ERF}"), BOTH).nodes[at].op == "math.absf"


def test_a_body_without_the_function_is_not_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    """A definition with `erf` has no form in common with a long body that has none."""
    made: list[int] = []
    normalised = by_laws.normalise
    monkeypatch.setattr(by_laws, "normalise", lambda *a, **k: made.append(1) or normalised(*a, **k))
    assert not unified("erf(a)", ERFC)
    assert not made
    assert unified("erf(a)", ERF)
    assert made


def test_a_formula_of_f16_is_none_of_f32() -> None:
    assert not name_functions(graph(ERF, "f16"), BOTH).laws
