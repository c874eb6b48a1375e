"""Whole functions, called in both modules, whose results are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runtime_tests.fuzz.function import SETS, Function
from runtime_tests.fuzz.outcome import Finding, Report, Setting
from substitute.device import Session
from substitute.errors import DeviceError, SubstituteError
from substitute.golden import evaluate_function
from substitute.validate.allowance import SLACK
from substitute.validate.case import Area
from substitute.validate.criteria import check_values
from substitute.validate.inputs import draw
from substitute.validate.results import compare

CLASS = "normal"
"""The class of inputs that whole functions are called with."""


def draw_arguments(function: Function, at: int, seed: int) -> list[Any]:
    """Arguments of a whole function in one set of its sizes."""
    found: list[Any] = []
    for number, argument in enumerate(function.arguments):
        random = np.random.default_rng([seed, at, number])
        if argument.shape is None:
            whole = argument.element == "index" or argument.element.startswith("i")
            found.append(int(random.integers(1, 4)) if whole else np.float32(random.standard_normal()))
            continue
        area = Area(
            binding=0,
            offset=0,
            shape=tuple(s.values[at] for s in argument.shape),
            element=argument.element,
            access="readonly",
            index_limit=argument.limit,
        )
        values = draw(area, CLASS, random)
        found.append(values.astype(bool) if argument.element == "i1" else values)
    return found


def call_functions(
    candidate: bytes, stock: bytes, functions: Mapping[int, Function], wrong: set[int], setting: Setting, report: Report
) -> None:
    with Session(candidate, device=setting.device) as ours, Session(stock, device=setting.device) as theirs:
        for number, function in functions.items():
            for at in range(SETS if function.open else 1):
                arguments = draw_arguments(function, at, number)
                try:
                    expected = theirs.call(f"f{number}", arguments)
                except DeviceError as error:
                    report.counts[f"stock does not run: {error.found or error.details[:80]}"] += 1
                    continue
                report.counts["calls"] += 1
                try:
                    found = ours.call(f"f{number}", arguments)
                except DeviceError as error:
                    report.findings.append(Finding(kind="differs", number=number, message=f"it does not run: {error}"))
                    continue
                pairs = enumerate(zip(found, expected, strict=True))
                reasons = [v.reason for i, (a, b) in pairs if not (v := compare(i, a, b)).passed]
                if reasons and number not in wrong and not _excused(function, arguments, found, report):
                    report.findings.append(
                        Finding(kind="differs", number=number, message=f"sizes {at}: {'; '.join(reasons)}")
                    )


def _excused(function: Function, arguments: Sequence[Any], found: Sequence[Any], report: Report) -> bool:
    """True if the results lie within the bounds of the golden of the whole function: it is ill-conditioned."""
    if function.imported:
        return False
    from iree.compiler import ir

    from substitute.validate.elements import storage_type

    with ir.Context(), ir.Location.unknown():
        module = ir.Module.parse("module {\n" + function.text("f") + "\n}")
        (op,) = module.body.operations
        given = [
            np.asarray(a).astype(storage_type(d.element)) for a, d in zip(arguments, function.arguments, strict=True)
        ]
        try:
            goldens = evaluate_function(op.operation, given)
        except SubstituteError as error:
            report.counts[f"a difference that the golden cannot judge: {error.what}"] += 1
            return False
    fine = all(
        check_values(np.asarray(f), g.value, 2 * SLACK * g.error, g.element) is None
        for f, g in zip(found, goldens, strict=True)
    )
    report.counts["ill-conditioned"] += fine
    return fine
