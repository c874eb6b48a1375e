"""Substituted dispatches, each launched separately with inputs whose golden is known."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from runtime_tests.fuzz.function import SETS
from runtime_tests.fuzz.layout import Layout
from runtime_tests.fuzz.outcome import Finding, Report, Setting, describe_error
from substitute.device.raw import RawModule
from substitute.errors import SubstituteError
from substitute.match.alignment import alignment_of
from substitute.read.module import read_module
from substitute.validate.baseline import run_baseline
from substitute.validate.call_sites import find_call_sites
from substitute.validate.case import Case
from substitute.validate.criteria import check_values
from substitute.validate.inputs import classes_for
from substitute.validate.judge import Options, judge_alone
from substitute.validate.prepare import describe_launch, make_case


def make_cases(
    stock: Any,
    taken: Mapping[str, Any],
    chosen: Mapping[Any, Any],
    layout: Layout,
    setting: Setting,
    report: Report,
) -> dict[str, list[Case]]:
    """The cases of each substituted dispatch, by the function that launches it."""
    sites = {key_of(s.dispatch): s for s in read_module(stock)}
    flags = {key: site.dispatch.layout.bindings for key, site in sites.items()}
    launches: dict[Any, dict[Any, None]] = {}
    reasons: dict[Any, str] = {}
    for at in range(SETS):
        for site in find_call_sites(stock, flags, layout.shapes(at)):
            if site.launch is None:
                reasons[site.dispatch] = f"its launch is not known: {site.reason}"
            else:
                launches.setdefault(site.dispatch, {})[site.launch] = None
    found: dict[str, list[Case]] = {}
    for entry, dispatch in taken.items():
        key = key_of(dispatch)
        function = sites[key].function
        if key not in launches or function is None:
            report.unjudged[reasons.get(key, "it is never launched")] += 1
            continue
        number = layout.number_of(function)
        seed = abs(hash(layout.functions[number].choices)) % 2**31 if number in layout.functions else 0
        quick, thorough = classes_for(dispatch.kind, quick=True), classes_for(dispatch.kind, quick=False)
        classes = [quick[seed % 2], thorough[seed % len(thorough)]]
        for at, launch in enumerate(list(launches[key])[:3]):
            for inputs in dict.fromkeys(classes if at == 0 else classes[:1]):
                try:
                    case = make_case(
                        function,
                        dispatch,
                        launch,
                        entry=entry,
                        label=dispatch.name,
                        inputs=inputs,
                        seed=seed,
                        local=setting.device.startswith("local"),
                        composed=chosen[dispatch].payload.kind.rewrites_body,
                        alignment=alignment_of(chosen[dispatch]),
                        described=describe_launch(function, launch),
                    )
                except SubstituteError as error:
                    report.unjudged[str(error).partition("\n")[0]] += 1
                    continue
                except Exception as error:
                    message = f"[{inputs}] the golden: {describe_error(error)}"
                    report.findings.append(
                        Finding(
                            kind="crashed",
                            number=number,
                            kernel=chosen[dispatch].name,
                            dispatch=dispatch.name,
                            message=message,
                        )
                    )
                    continue
                found.setdefault(entry, []).append(case)
    return found


def key_of(dispatch: Any) -> tuple[str, str, str]:
    return dispatch.executable, dispatch.variant, dispatch.name


def run_cases(
    candidate: bytes,
    stock: bytes | None,
    taken: Mapping[str, Any],
    chosen: Mapping[Any, Any],
    cases: Mapping[str, list[Case]],
    owners: Mapping[str, int],
    setting: Setting,
    report: Report,
) -> set[int]:
    """The functions of which a dispatch was wrong, by either code."""
    wrong: set[int] = set()
    with ExitStack() as stack:
        ours = stack.enter_context(RawModule(candidate, device=setting.device))
        theirs = None if stock is None else stack.enter_context(RawModule(stock, device=setting.device))
        for entry, group in cases.items():
            name, kernel = taken[entry].name, chosen[taken[entry]].name
            for case in group:
                verdict = judge_alone(ours, case, options=Options(in_flight=False)).verdict
                report.counts["cases"] += 1
                fault = _fault_of(theirs, case) if theirs is not None else ""
                if verdict.passed and not fault:
                    continue
                kind = "stock wrong" if verdict.passed else "both wrong" if fault else "wrong"
                number = owners[entry]
                wrong.add(number)
                message = f"[{case.inputs}] " + (f"{verdict.stage}: {verdict.message}" if verdict.stage else fault)
                if verdict.place is not None:
                    p = verdict.place
                    message += f" at {p.coordinates} of {p.operand}: {p.candidate} for {p.golden} ± {p.allowed:.3g}"
                report.findings.append(Finding(kind=kind, number=number, kernel=kernel, dispatch=name, message=message))
    return wrong


def _fault_of(module: RawModule, case: Case) -> str:
    """Return how IREE's own code differs from the golden; empty if it does not."""
    theirs = run_baseline(module, case)
    if theirs.error:
        return theirs.error
    for values, expected in zip(theirs.values, case.expected, strict=True):
        finding = check_values(values, expected.values, expected.allowed, expected.area.element)
        if finding is not None:
            return f"IREE's own code: {finding.message}"
    return ""
