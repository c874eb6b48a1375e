"""A validation as JSON. Field names are fixed: programs rely on them."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..model.coverage import Coverage
    from ..validate.kernel_verdict import KernelVerdict
    from ..validate.validation import Validation
    from ..validate.verdict import CaseVerdict, DispatchVerdict

VALIDATION_SCHEMA = 1


def validation_to_json(validation: Validation) -> dict[str, Any]:
    """Return the whole validation; numbers that JSON lacks are the strings `inf`, `-inf` and `nan`."""
    return {
        "schema": VALIDATION_SCHEMA,
        "title": validation.title,
        "passed": validation.passed,
        "unproven": validation.unproven,
        "device": validation.device,
        "seed": validation.seed,
        "command": validation.command,
        "started": validation.started,
        "versions": dict(validation.versions),
        "seconds": dict(validation.seconds),
        "results": [{"name": r.name, "passed": r.passed, "detail": r.detail} for r in validation.results],
        "dispatches": [dispatch_verdict_to_json(d) for d in validation.dispatches],
    }


def kernel_verdict_to_json(verdict: KernelVerdict) -> dict[str, Any]:
    """Return the verdict on one kernel on one device as JSON values."""
    return {
        "kernel": verdict.kernel,
        "folder": verdict.folder,
        "device": verdict.device,
        "seed": verdict.seed,
        "quick": verdict.quick,
        "passed": verdict.passed,
        "message": verdict.message,
        "error": verdict.error,
        "seconds": dict(verdict.seconds),
        "coverage": coverage_to_json(verdict.coverage),
        "dispatches": [dispatch_verdict_to_json(d) for d in verdict.dispatches],
    }


def coverage_to_json(coverage: Coverage | None) -> dict[str, Any] | None:
    """Return the coverage of some code as JSON values; None if it was not measured."""
    if coverage is None:
        return None
    return {
        "branches": coverage.branches,
        "both_ways": coverage.both_ways,
        "never": list(coverage.never),
        "unknown": coverage.unknown,
    }


def dispatch_verdict_to_json(verdict: DispatchVerdict) -> dict[str, Any]:
    """Return the verdict on one dispatch, with its cases, as JSON values."""
    return {
        "name": verdict.name,
        "kernel": verdict.kernel,
        "passed": None if verdict.skipped else verdict.passed,
        "skipped": verdict.skipped,
        "check": verdict.check or None,
        "stage": verdict.stage,
        "message": verdict.message,
        "notes": list(verdict.notes),
        "accuracy": verdict.declared or None,
        "worst": to_json_value(verdict.worst),
        "coverage": coverage_to_json(verdict.coverage),
        "cases": [_case(c) for c in verdict.cases],
    }


def _case(case: CaseVerdict) -> dict[str, Any]:
    return {
        "label": case.label,
        "inputs": case.inputs,
        "seed": case.seed,
        "passed": case.passed if case.entered else None,
        "entered": case.entered,
        "stage": case.stage,
        "message": case.message,
        "place": None if case.place is None else to_json_value(dataclasses.asdict(case.place)),
        "worst": to_json_value(case.worst),
        "judged": case.judged,
        "errors": to_json_value(dataclasses.asdict(case.errors)),
        "baseline": None if case.baseline is None else to_json_value(dataclasses.asdict(case.baseline)),
        "notes": list(case.notes),
        "blind": list(case.blind),
        "picture": None if case.picture is None else to_json_value(dataclasses.asdict(case.picture)),
    }


def to_json_value(value: Any) -> Any:
    """Convert tuples to lists, and numbers that JSON cannot represent to strings."""
    if isinstance(value, dict):
        return {key: to_json_value(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json_value(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
