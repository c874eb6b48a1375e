"""A validation as JUnit XML: one suite per dispatch or kernel, one test per case."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import junitparser

    from ..validate.validation import Validation
    from ..validate.verdict import CaseVerdict, DispatchVerdict


def validation_to_junit(validation: Validation) -> bytes:
    """Return the XML, as UTF-8."""
    import junitparser

    document = junitparser.JUnitXml(f"iree-substitute validate {validation.title}")
    for verdict in validation.dispatches:
        document.add_testsuite(_suite(verdict, validation.device))
    if validation.results:
        suite = junitparser.TestSuite("the whole model")
        for line in validation.results:
            test = junitparser.TestCase(line.name, classname=validation.title)
            if not line.passed:
                test.result = [_failure("error", line.detail)]
            suite.add_testcase(test)
        document.add_testsuite(suite)
    if validation.unproven:
        suite = junitparser.TestSuite("kernels")
        test = junitparser.TestCase("some kernel was judged", classname=validation.title)
        test.result = [_failure("unproven", validation.unproven)]
        suite.add_testcase(test)
        document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]
    return bytes(document.tostring())  # type: ignore[no-untyped-call]


def _suite(verdict: DispatchVerdict, device: str) -> junitparser.TestSuite:
    import junitparser

    suite = junitparser.TestSuite(f"{verdict.name} ← {verdict.kernel}" if verdict.kernel else verdict.name)
    suite.add_property("device", device)
    if verdict.coverage is not None:
        suite.add_property("coverage", str(verdict.coverage))
    if verdict.declared:
        suite.add_property("accuracy", verdict.declared)
    for case in verdict.cases:
        suite.add_testcase(_test(verdict, case))
    whole = junitparser.TestCase("all cases together", classname=verdict.name)
    if verdict.skipped:
        whole.result = [junitparser.Skipped(verdict.skipped)]
    elif verdict.stage:
        whole.result = [_failure(verdict.stage, verdict.message)]
    suite.add_testcase(whole)
    return suite


def _test(verdict: DispatchVerdict, case: CaseVerdict) -> junitparser.TestCase:
    import junitparser

    test = junitparser.TestCase(f"{case.label} [{case.inputs}, seed {case.seed}]", classname=verdict.name)
    if not case.entered:
        test.result = [junitparser.Skipped("IREE's own code ran in place of the kernel")]
    elif not case.passed:
        words = case.message
        if case.place is not None:
            at = ", ".join(map(str, case.place.coordinates))
            words += f"\n{case.place.operand} at ({at}): candidate {case.place.candidate}, golden {case.place.golden}"
        test.result = [_failure(case.stage, words)]
    return test


def _failure(stage: str, words: str) -> junitparser.Failure:
    import junitparser

    first, _, _ = words.partition("\n")
    failure = junitparser.Failure(first, stage)
    failure.text = words
    return failure
