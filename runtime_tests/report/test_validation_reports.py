"""JSON, JUnit and the page of made-up validations."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from rich.console import Console

from runtime_tests.report.validations import FAILED, PASSED, SKIPPED, TOGETHER, validation
from substitute.report.charts import bin_labels, shares
from substitute.report.junit import validation_to_junit
from substitute.report.page import write_page
from substitute.report.page_contents import page_of_validation
from substitute.report.validation_json import to_json_value, validation_to_json
from substitute.report.validation_tables import dispatch_verdicts
from substitute.validate.validation import ResultLine
from substitute.validate.verdict import DispatchVerdict

RIGHT = ResultLine(name="result 0", passed=True, detail="1e-7 of the largest magnitude")
WRONG = ResultLine(name="result 1", passed=False, detail="NaN stands in other places")


def test_the_verdict_of_all() -> None:
    assert validation(PASSED).passed
    assert validation(PASSED, SKIPPED, results=(RIGHT,)).passed
    assert not validation(PASSED, FAILED).passed
    assert not validation(TOGETHER).passed
    assert not validation(PASSED, results=(WRONG,)).passed


def test_nothing_judged_is_nothing_proven() -> None:
    assert not validation().passed
    assert not validation(SKIPPED).passed


def test_json_is_json() -> None:
    data = json.loads(
        json.dumps(validation_to_json(validation(PASSED, FAILED, SKIPPED, results=(RIGHT,))), allow_nan=False)
    )
    assert (data["schema"], data["passed"], data["seed"], data["seconds"]) == (1, False, 7, {"build": 2.5, "run": 0.25})
    assert [d["passed"] for d in data["dispatches"]] == [True, False, None]
    good, bad = data["dispatches"][1]["cases"]
    assert (good["passed"], good["place"], bad["stage"]) == (True, None, "error")
    assert bad["place"]["coordinates"] == [30, 48]
    assert bad["picture"]["candidate"]["not_finite"] == 1
    assert bad["picture"]["map"]["cells"][0][0] == "inf"
    assert data["results"] == [{"name": "result 0", "passed": True, "detail": "1e-7 of the largest magnitude"}]


def test_what_compile_found_is_a_column_where_it_is_known() -> None:
    def columns(*verdicts: DispatchVerdict) -> str:
        file = io.StringIO()
        Console(file=file, width=10_000, color_system=None).print(dispatch_verdicts(verdicts, command="", width=None))
        return file.getvalue()

    assert "checked by compile" not in columns(PASSED, SKIPPED)
    known = replace(PASSED, check="right, 1.30× faster than IREE's code")
    assert "checked by compile" in columns(known, SKIPPED) and known.check in columns(known, SKIPPED)
    assert validation_to_json(validation(known))["dispatches"][0]["check"] == known.check


def test_a_declared_accuracy_stands_in_every_format() -> None:
    declared = replace(PASSED, declared="errors up to 4·γ are allowed: Strassen")
    shown = validation(declared, FAILED)
    file = io.StringIO()
    Console(file=file, width=10_000, color_system=None).print(dispatch_verdicts([declared], command="", width=None))
    assert f"softmax declares its accuracy: {declared.declared}" in file.getvalue()
    assert [d["accuracy"] for d in validation_to_json(shown)["dispatches"]] == [declared.declared, None]
    assert write_page(page_of_validation(validation_to_json(shown))).count(declared.declared) == 1
    assert validation_to_junit(shown).decode().count(declared.declared) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [(float("inf"), "inf"), (float("nan"), "nan"), (1.5, 1.5), ({"a": (1, -float("inf"))}, {"a": [1, "-inf"]})],
)
def test_numbers_that_json_lacks(value: object, expected: object) -> None:
    assert to_json_value(value) == expected


def test_junit() -> None:
    root = ElementTree.fromstring(validation_to_junit(validation(PASSED, FAILED, TOGETHER, SKIPPED, results=(WRONG,))))
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("9", "3", "1")
    failures = {(c.get("classname"), f.get("type")): f for c in root.iter("testcase") for f in c.findall("failure")}
    assert set(failures) == {("dispatch_1", "error"), ("dispatch_2", "baseline"), ("model <1>.onnx", "error")}
    failure = failures["dispatch_1", "error"]
    assert failure.get("message") == "480 elements are wrong"
    assert "binding 1 at byte 0: 40x96xf32 at (30, 48): candidate 1.25, golden 1.249" in (failure.text or "")
    (skipped,) = root.iter("skipped")
    assert skipped.get("message") == "the golden does not know linalg_ext.fft"


def test_twin_of_junit_without_failures() -> None:
    root = ElementTree.fromstring(validation_to_junit(validation(PASSED)))
    assert (root.get("tests"), root.get("failures")) == ("2", "0")


def test_bars() -> None:
    counted = {"counts": [0, *[0] * 7, 3, *[0] * 8], "not_finite": 1}
    assert shares(counted) == [0, *[0] * 7, 0.75, *[0] * 8, 0.25]
    labels = bin_labels()
    assert len(labels) == len(shares(counted))
    assert (labels[0], labels[8], labels[-2:]) == ("< -1024", "-0.5…0.5", ["≥ 1024", "∞, NaN"])
