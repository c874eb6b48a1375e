"""Drawn inputs: each class has what it promises, and comes again from its seed."""

from __future__ import annotations

import numpy as np
import pytest

from substitute.validate.case import Area
from substitute.validate.elements import smallest_normal, storage_type, ulp
from substitute.validate.inputs import CLASSES, QUICK, THOROUGH, Computation, classes_for, draw

pytestmark = pytest.mark.unit


def drawn(
    inputs: str, element: str = "f32", shape: tuple[int, ...] = (31, 17), *, limit: int | None = None
) -> np.ndarray:
    area = Area(binding=0, offset=0, shape=shape, element=element, access="readonly", index_limit=limit)
    return draw(area, inputs, np.random.default_rng(5))


def widened(values: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # there are signalling NaN
        return values.astype(np.float64)


@pytest.mark.parametrize("element", ["f64", "f32", "f16", "bf16", "i1", "i8", "i32", "i64"])
@pytest.mark.parametrize("inputs", list(CLASSES))
def test_every_class_for_every_type(inputs: str, element: str) -> None:
    values = drawn(inputs, element)
    assert values.shape == (31, 17)
    assert np.array_equal(values.view(np.uint8), drawn(inputs, element).view(np.uint8))
    assert np.unique(widened(values)).size > 1
    if element == "i1":
        assert set(values.reshape(-1).tolist()) <= {0, 1}
    assert drawn(inputs, element, ()).shape == ()
    assert drawn(inputs, element, (3, 0)).shape == (3, 0)


@pytest.mark.parametrize("element", ["f32", "f16", "bf16"])
def test_what_classes_promise(element: str) -> None:
    wide = {name: widened(drawn(name, element)) for name in CLASSES}
    assert np.array_equal(wide["exact"], np.rint(wide["exact"])) and np.abs(wide["exact"]).max() <= 3
    assert set(wide["ones"].reshape(-1)) == {0.0, 1.0}
    assert 0 < np.abs(wide["tiny"]).max() < 0.5
    assert np.abs(wide["large"]).max() > 20 and np.isfinite(wide["large"]).all()
    assert (wide["skewed"] > 0).all()
    rows = np.abs(wide["rows"]).max(axis=1)
    assert np.isfinite(rows).all() and rows.max() > 100 * rows.min()
    special = wide["special"]
    assert np.isnan(special).any() and np.isposinf(special).any() and np.isneginf(special).any()
    assert (np.signbit(special) & (special == 0)).any()
    below = np.abs(wide["subnormal"])
    assert ((below > 0) & (below < smallest_normal(element))).any()


@pytest.mark.parametrize("element", ["f32", "i64", "i1"])
def test_lines_that_are_alike_let_reductions_differ(element: str) -> None:
    """`any` of a row and of a column says true and false, where numbers drawn one by one would always make it true."""
    area = Area(binding=0, offset=0, shape=(64, 65), element=element, access="readonly", index_limit=None)
    found: list[set[bool]] = [set(), set()]
    for seed in range(4):
        values = draw(area, "alike", np.random.default_rng(seed)).astype(np.float64)
        for axis in (0, 1):
            found[axis] |= set((values != 0).any(axis=axis).tolist())
    assert found == [{True, False}] * 2
    one_by_one = draw(area, "exact", np.random.default_rng(0)).astype(np.float64)
    assert (one_by_one != 0).any(axis=0).all()


def test_distinct_values_are_distinct() -> None:
    assert np.unique(drawn("distinct")).size == 31 * 17
    assert np.unique(drawn("distinct", "i32")).size == 31 * 17


def test_indices_are_valid() -> None:
    for inputs in CLASSES:
        values = drawn(inputs, "i64", limit=5)
        assert (values.min(), values.max()) == (0, 4)


@pytest.mark.parametrize(("element", "narrow"), [("f32", "f16"), ("f32", "bf16"), ("f64", "f32"), ("f16", "bf16")])
def test_edges_of_a_narrower_type(element: str, narrow: str) -> None:
    area = Area(binding=0, offset=0, shape=(400,), element=element, access="readonly")
    values = np.abs(draw(area, "edges", np.random.default_rng(1), narrow=narrow).astype(np.float64))
    assert np.isfinite(values).all()
    kind = storage_type(narrow)
    with np.errstate(over="ignore"):
        nearest = values.astype(kind).astype(np.float64)
    ties = np.abs(values - nearest) == ulp(values, narrow) / 2
    assert ties.sum() > 50
    assert (ties & (nearest > values)).any() and (ties & (nearest < values)).any()
    assert element == "f16" or np.isinf(nearest).any()
    low = (values > 0) & (values < smallest_normal(narrow))
    assert low.any() == (smallest_normal(narrow) > 1e9 * smallest_normal(element))
    assert not (values < smallest_normal(element)).any()


@pytest.mark.parametrize("element", ["f32", "bf16"])
def test_sums_of_edges_lie_half_way(element: str) -> None:
    random = np.random.default_rng(2)
    area = Area(binding=0, offset=0, shape=(100,), element=element, access="readonly")
    sums = sum(draw(area, "edges", random).astype(np.float64) for _ in range(2))
    error = np.abs(sums - sums.astype(storage_type(element)).astype(np.float64))
    assert (error == ulp(sums, element) / 2).sum() > 10


def test_classes_of_kinds() -> None:
    assert classes_for("contraction", quick=True)[0] == "exact"
    assert "large" in classes_for("softmax", quick=True)  # exp overflows without its maximum
    assert "edges" in classes_for("elementwise", quick=True)  # a wrong rounding of halves
    assert set(classes_for("anything", quick=True)) < set(classes_for("anything", quick=False))
    known = {name for classes in (*QUICK.values(), *THOROUGH.values()) for name in classes}
    assert known <= set(CLASSES)


def of(kind: str, *operations: str) -> Computation:
    return Computation(kind=kind, operations=frozenset(operations))


def special(
    computation: Computation, element: str = "f32", shape: tuple[int, ...] = (64, 48), seed: int = 0
) -> np.ndarray:
    area = Area(binding=0, offset=0, shape=shape, element=element, access="readonly")
    return draw(area, "special", np.random.default_rng(seed), of=computation)


def test_special_numbers_are_those_at_which_the_operations_turn() -> None:
    floor = special(of("elementwise", "math.floor"))
    wide = widened(floor)
    assert {0.5, -1.5, 2.0**23, 2.0**63, np.inf, float(np.finfo(np.float32).max)} <= set(wide.reshape(-1).tolist())
    assert (np.signbit(wide) & (wide == 0)).any()
    patterns = set(floor[np.isnan(wide)].view(np.uint32).tolist())
    assert len(patterns) >= 6
    assert any(not bits & 0x00400000 for bits in patterns)  # a signalling one
    quiet = special(of("elementwise", "arith.maxnumf"))  # which of a NaN and a number it gives would be open
    assert all(bits & 0x00400000 for bits in quiet[np.isnan(widened(quiet))].view(np.uint32).tolist())
    sine = np.abs(widened(special(of("elementwise", "math.sin"))))
    assert ((sine > 2.0**20) & (sine < 1e10)).any()
    assert not {0.5, 2.5} <= set(np.abs(widened(special(of("elementwise", "arith.negf")))).reshape(-1).tolist())


def test_special_integers_are_ends_of_types() -> None:
    for element in ("i8", "i32", "i64"):
        info = np.iinfo(storage_type(element))
        found = set(special(of("elementwise", "arith.muli"), element).reshape(-1).tolist())
        assert {info.min, info.max, -1, 0, 127, -128} <= found
    rows = special(of("contraction", "arith.muli"), "i8")
    assert any(np.unique(line).tolist() == [-128] for line in (*rows, *rows.T))  # pairs of products overflow 16 bits


def test_no_integer_is_divided_by_what_traps() -> None:
    for inputs in CLASSES:
        area = Area(binding=0, offset=0, shape=(64, 48), element="i32", access="readonly")
        kept = draw(area, inputs, np.random.default_rng(0), of=of("elementwise", "arith.remsi"))
        assert not {0, -1} & set(kept.reshape(-1).tolist())
    assert {0, -1} <= set(special(of("elementwise", "arith.muli"), "i32").reshape(-1).tolist())


def test_special_lines_are_what_reductions_stumble_over() -> None:
    for seed in range(4):
        values = widened(special(of("reduction", "arith.addf"), seed=seed))
        lines = [*values, *values.T]
        assert any(np.isneginf(line).all() for line in lines)
        assert any((line == 0).all() and np.signbit(line).all() for line in lines)
        assert any(np.isfinite(line).all() and np.unique(line).size == 1 and line[0] == 0.75 for line in lines)
        assert any(np.isnan(line).sum() == 1 and np.isnan(line[0]) for line in lines)
        centred = [line for line in lines if np.isfinite(line).all() and abs(line.mean()) > 1000 * line.std() > 0]
        assert centred  # a variance as E[x²] - E[x]² cancels
    few = widened(special(of("contraction", "arith.mulf")))
    assert 1 <= np.isnan(few).sum() <= 3
    assert any((line == 0).sum() > 40 for line in few) or any((line == 0).sum() > 40 for line in few.T)


def test_special_indices_are_the_first_and_the_last() -> None:
    area = Area(binding=0, offset=0, shape=(40,), element="i64", access="readonly", index_limit=1000)
    found = draw(area, "special", np.random.default_rng(0), of=of("gather"))
    assert {0, 999} <= set(found.tolist()) and found.max() < 1000 and found.min() >= 0
