"""Definitions that IREE splits: the dispatches that hold them are named, and only these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from runtime_tests.match.kernels import kernel, takes_all
from runtime_tests.rewrite.centred import function
from substitute.compiler import Compilation
from substitute.errors import PlanError
from substitute.flags import with_default_target
from substitute.match.planner import make_plan
from substitute.match.splits import find_split, with_parts, with_splits
from substitute.model.dispatch import Dispatch
from substitute.model.kernel import Kernel
from substitute.read.module import read_module

pytestmark = pytest.mark.compile


@pytest.fixture(scope="module")
def dispatches() -> tuple[Dispatch, ...]:
    """Two dispatches that IREE makes of one operation, and two of the same with other sizes."""
    text = function("one", "4", "16") + function("two", "4", "24")
    with Compilation(with_default_target(()), name="model") as compilation:
        compilation.parse(text.encode())
        compilation.run("start", "executable-sources")
        assert compilation.module is not None
        found = tuple(site.dispatch for site in read_module(compilation.module))
    assert len(found) == 4
    return found


@pytest.fixture(scope="module")
def centred() -> Kernel:
    return kernel(function("centred"), {"x": "MN", "y": "MN"})


def reasons(made: Kernel, dispatches: Sequence[Dispatch]) -> list[str]:
    """Return what the rule that failed found, dispatch by dispatch."""
    plan = with_splits(make_plan(dispatches, [made], takes_all))
    return [decision.rules[-1].found for decision in plan.decisions]


def test_the_dispatches_of_a_split_are_named(centred: Kernel, dispatches: tuple[Dispatch, ...]) -> None:
    first, second = dispatches[:2]
    words = f"arith.addf: IREE splits this into 2 dispatches: {first.name}, {second.name}"
    assert reasons(centred, (first, second)) == [words, words]
    # of another operation between them nothing is said, and those after it are found
    assert find_split(centred, dispatches[1:]) == dispatches[2:]
    with pytest.raises(PlanError) as caught:
        make_plan(dispatches[:2], [centred], takes_all, require=["mine"])
    assert caught.value.found == f"IREE splits this into 2 dispatches: {first.name}, {second.name}"


def test_dispatches_that_do_not_hold_a_definition_together_are_no_split(
    centred: Kernel, dispatches: tuple[Dispatch, ...]
) -> None:
    """One alone, those that hand nothing on, and those of a definition with another number of reductions."""
    first, second = dispatches[:2]
    assert find_split(centred, (first,)) == ()
    assert find_split(centred, (first, dispatches[3])) != ()  # a row of sums is a row of sums
    thin = replace(second.program, cores=(), stores=()) if second.program else None
    assert find_split(centred, (first, replace(second, program=thin))) == ()
    (form,) = centred.forms
    longer = replace(form, program=replace(form.program, cores=(*form.program.cores, form.program.cores[0])))
    assert find_split(replace(centred, forms=(longer,)), (first, second)) == ()
    assert reasons(replace(centred, forms=(longer,)), (first, second)) == ["arith.addf", "arith.addf"]


def test_a_part_is_told_where_one_dispatch_is_all_that_is_seen(
    centred: Kernel, dispatches: tuple[Dispatch, ...]
) -> None:
    plan = with_parts(make_plan(dispatches[:1], [centred], takes_all))
    assert plan.decisions[0].rules[-1].found.startswith("arith.addf: a part of it: IREE splits such operations")
    highest = replace(centred.forms[0].program.cores[0], combiner="arith.maximumf")  # type: ignore[call-overload]
    form = replace(centred.forms[0], program=replace(centred.forms[0].program, cores=(highest, highest)))
    plan = with_parts(make_plan(dispatches[:1], [replace(centred, forms=(form,))], takes_all))
    assert plan.decisions[0].rules[-1].found == "arith.addf"
