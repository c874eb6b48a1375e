"""Verdicts of a bundle from the values of its tasks."""

from __future__ import annotations

import pytest

from runtime_tests.validate.cases import case
from substitute.model.coverage import Code
from substitute.progress import silent
from substitute.validate.bundle import Bundle, Subject
from substitute.validate.judge import STANDARD, Judged
from substitute.validate.run import Judgement
from substitute.validate.tasks import Turned, candidate_tasks
from substitute.validate.verdict import CaseVerdict, DispatchVerdict

pytestmark = pytest.mark.unit
ENTRY, BRANCH = 0, 1


def verdict_after(*hits: int, failed: str = "") -> DispatchVerdict:
    """Return the verdict on a dispatch whose only case set these counters, and passed or failed."""
    subject = Subject(name="d", kernel="k", kind="", cases=(case(),), code="k", turned=True)
    code = Code(ways=(), entries=frozenset({ENTRY}))
    bundle = Bundle(
        device="local-sync",
        candidate=b"",
        baseline=None,
        beside=frozenset(),
        subjects=(subject,),
        codes={"k": code},
    )
    judgement = Judgement(bundle, bundle.device, STANDARD, silent)
    passed = Judged(
        verdict=CaseVerdict(
            label="twice", inputs="normal", seed=3, judged=4, stage="launch" if failed else "", message=failed
        )
    )
    turned = Turned(hits=frozenset(hits), ran=True)
    judgement.values = {task: turned if task.kind == "turn" else passed for task in candidate_tasks(bundle)}
    return judgement.verdict(0)


def test_a_kernel_whose_code_was_never_entered_is_not_judged() -> None:
    assert verdict_after(ENTRY, BRANCH).passed
    unknown = verdict_after(BRANCH)
    assert (unknown.passed, unknown.skipped) == (False, "its code was never entered in any of the cases")
    # what failed is told in any case
    wrong = verdict_after(BRANCH, failed="the process that ran it died")
    assert (wrong.passed, wrong.skipped, len(wrong.failures)) == (False, "", 1)
