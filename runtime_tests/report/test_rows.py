"""The kernel that takes a dispatch or comes nearest, and the dispatch that a user names."""

from dataclasses import replace

import pytest

from substitute.errors import UsageError
from substitute.model.plan import Decision, Plan, Rule
from substitute.report.rows import dispatch_rows, failed_rule, find_dispatch, select_decisions, sort_by_nearness

pytestmark = pytest.mark.unit


def test_rows(plan: Plan) -> None:
    taken, near, unread = dispatch_rows(plan)
    assert taken.substitution is plan.substitutions[0]
    assert (taken.nearest, taken.failed_rule) == (None, None)
    assert near.substitution is None
    assert near.nearest is plan.decisions[1]
    assert near.failed_rule is not None
    assert near.failed_rule.name == "constraint"
    assert unread.cost is None


def fails(decision: Decision, kernel: str, rule: str) -> Decision:
    last = Rule(name=rule, passed=False, expected="", found="")
    return replace(
        decision, kernel=replace(decision.kernel, name=kernel), rules=(*decision.rules[:1], last), match=None
    )


def test_nearest_failed_latest(plan: Plan, rejected: Decision) -> None:
    far, near = fails(rejected, "a", "structure.cores"), fails(rejected, "z", "payload")
    for decisions in ((far, rejected, near), (near, rejected, far)):
        row = dispatch_rows(replace(plan, decisions=decisions))[1]
        assert row.nearest is near
        assert row.failed_rule is near.rules[-1]
    assert dispatch_rows(replace(plan, decisions=(far, rejected)))[1].nearest is rejected


def test_order_of_decisions(accepted: Decision, rejected: Decision) -> None:
    same, far = fails(rejected, "a", "constraint"), fails(rejected, "b", "target")
    assert sort_by_nearness([far, rejected, same, accepted]) == [accepted, same, rejected, far]
    assert sort_by_nearness([]) == []
    assert failed_rule(accepted) is None


def test_decisions_for(plan: Plan) -> None:
    first = plan.dispatches[0]
    assert select_decisions(plan, dispatch=first, kernel=None) == [plan.decisions[0]]
    assert select_decisions(plan, dispatch=None, kernel="matmul_f32") == list(plan.decisions)
    assert select_decisions(plan, dispatch=first, kernel="other") == []


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("m$async_dispatch_1_matmul_D", 1),
        ("0", 0),
        ("1", 1),
        ("10", 2),
        ("matmul", 0),
        ("_matmul_", 1),
        ("_D", 1),
        ("sort", 2),
    ],
)
def test_dispatch_by_name_number_and_part(plan: Plan, text: str, at: int) -> None:
    assert find_dispatch(plan, text) is plan.dispatches[at]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("conv", "--dispatch: there is no dispatch `conv`"),
        ("", "--dispatch: there is no dispatch ``"),
        ("async", "--dispatch: `async` means several dispatches"),
    ],
)
def test_unclear_dispatch(plan: Plan, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_dispatch(plan, text)
    assert str(caught.value).splitlines()[0] == message
    assert "m$async_dispatch_0_matmul, m$async_dispatch_1_matmul_D" in caught.value.found
